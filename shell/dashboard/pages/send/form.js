// The form of a payment. It checks what can be checked here; the rest is the node's answer, shown at the field it names.

import { amountField } from "../../js/amount.js";
import { choices } from "../../js/choices.js";
import { fill, h } from "../../js/dom.js";
import { size } from "../../js/fees.js";
import { field } from "../../js/field.js";
import { btc } from "../../js/format.js";
import { sheet } from "../../js/parts.js";
import { walletName } from "../../js/words.js";
import { feePart } from "./fee.js";

/** `facts`: what is known of cluster and wallets; `review` gets the payment when it is written. */
export function paymentForm(types, facts, review) {
  let type = types[0];
  let drawn = "";
  const wallets = h("div");
  const recipient = field("Recipient", { spellcheck: "false", autocapitalize: "none", class: "mono" }, { hint: "A Bitcoin address of this network." });
  const amount = amountField("Amount", { spendable: () => facts.balances.get(type)?.spendable_sats });
  const fee = feePart();
  const memo = field("Reference", {}, { hint: "Optional; an invoice number, say. Every node keeps it with the payment, and it never goes to the Bitcoin network." });
  const wrong = h("p", { class: "wrong", role: "alert" });
  const fields = { "/recipient": recipient, "/amount_sats": amount, "/fee_rate": fee.own, "/metadata": memo };

  const refresh = () => {
    // Drawn anew only when a number has changed, and never under somebody's hands.
    const now = JSON.stringify([types, [...facts.balances].map(([name, one]) => [name, one.spendable_sats]), facts.status?.chain?.fee_estimates]);
    if (now !== drawn && !wallets.contains(document.activeElement) && !fee.hasFocus()) {
      drawn = now;
      fill(wallets, choices("From", types.map((name) => walletChoice(name, facts)), type, (chosen) => {
        type = chosen;
        amount.echo();
      }));
      fee.draw(facts.status?.chain);
    }
    amount.echo();
  };
  /** The payment, or nothing after saying what is wrong with each field. */
  const read = () => {
    for (const one of Object.values(fields)) one.complain("");
    wrong.textContent = "";
    const to = recipient.input.value.trim();
    recipient.complain(objection(to));
    const given = amount.read();
    amount.complain(given.error ?? "");
    const rate = fee.read();
    const first = Object.values(fields).find((one) => one.isWrong());
    if (first) {
      first.input.focus();
      return null;
    }
    const cost = rate.rate === null ? null : Math.ceil(rate.rate * size(type, to));
    return { type, recipient: to, sats: given.sats, rate: rate.rate, rateGiven: rate.given, level: rate.level, fee: cost, metadata: memo.input.value.trim() };
  };
  /** Shows a refusal at the fields it names. Whether it named any. */
  const blame = (problem) => {
    const named = problem.errors.filter((error) => fields[error.pointer]);
    for (const error of named) {
      if (error.pointer === "/fee_rate" && !fee.isOwn()) wrong.textContent = problem.message;
      else fields[error.pointer].complain(sentence(error.message));
    }
    fields[named[0]?.pointer]?.input.focus();
    return named.length > 0;
  };
  const submit = (event) => {
    event.preventDefault();
    const payment = read();
    if (payment) review(payment);
  };
  const element = sheet("New payment", {}, h("form", { class: "form", novalidate: true, onsubmit: submit },
    wallets, recipient.element, amount.element, fee.elements, memo.element, wrong,
    h("div", { class: "bar" }, h("button", { class: "button main", type: "submit" }, "Review payment"))));
  refresh();
  return { element, refresh, blame, wallets: (list) => { types = list; refresh(); }, focus: () => recipient.input.focus() };
}

function walletChoice(name, facts) {
  return { value: name, name: walletName(name), hint: `${btc(facts.balances.get(name)?.spendable_sats ?? 0)} BTC spendable` };
}

/** What is wrong with a recipient at first sight; whether it is an address, the node knows. */
function objection(text) {
  if (text === "") return "Say whom to pay.";
  if (/^bitcoin:/i.test(text)) return "This is a payment link; give only the address in it.";
  return /\s/.test(text) ? "An address has no spaces." : "";
}

function sentence(text) {
  const capital = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(capital) ? capital : `${capital}.`;
}
