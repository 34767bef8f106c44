// The form of a payment. It checks what can be checked here; the rest is the node's answer, shown at the field it names.

import { amountField } from "../../js/amount.js";
import { choices } from "../../js/choices.js";
import { fill, h } from "../../js/dom.js";
import { field } from "../../js/field.js";
import { btc } from "../../js/format.js";
import { sheet } from "../../js/parts.js";
import { walletName } from "../../js/words.js";
import { feePart } from "./fee.js";
import { quotePart } from "./quote.js";

/** `facts`: what is known of cluster and wallets; `review` gets the payment when it is written, and the node's preview of it if
    there is one. */
export function paymentForm(types, facts, review) {
  let type = types[0];
  let drawn = "";
  const wallets = h("div");
  const recipient = field("Recipient", { spellcheck: "false", autocapitalize: "none", class: "mono" }, { hint: "A Bitcoin address of this network." });
  const amount = amountField("Amount", { spendable: () => facts.balances.get(type)?.spendable_sats });
  const fee = feePart();
  const memo = field("Reference", {}, { hint: "Optional; an invoice number, say. Every node keeps it with the payment, and it never goes to the Bitcoin network." });
  const wrong = h("p", { class: "wrong", role: "alert" });
  const quote = quotePart("Its cost is shown here when recipient and amount are given.");
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
    price();
  };
  /** The payment that is written, or nothing, and what is wrong with which field. */
  const written = () => {
    const to = recipient.input.value.trim();
    const given = amount.read();
    const rate = fee.read();
    const wrongs = [[recipient, objection(to)], [amount, given.error], [fee.own, rate.error]].filter(([, text]) => text);
    const payment = { type, recipient: to, sats: given.sats, rate: rate.rate, rateGiven: rate.given, level: rate.level, metadata: memo.input.value.trim() };
    return { payment: wrongs.length === 0 ? payment : null, wrongs };
  };
  /** The cost is asked for anew when it may have changed: with what is written, with the coins, the rates, a freeze. */
  const price = () => {
    const { payment } = written();
    const { status } = facts;
    quote.want(payment && bodyOf(payment), [facts.balances.get(type)?.spendable_sats, status?.chain?.fee_estimates, status?.frozen]);
  };
  /** The payment, or nothing after saying what is wrong with each field. */
  const read = () => {
    for (const one of Object.values(fields)) one.complain("");
    wrong.textContent = "";
    const { payment, wrongs } = written();
    for (const [one, text] of wrongs) one.complain(text);
    wrongs[0]?.[0].input.focus();
    return payment;
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
    if (payment) review(payment, quote.known(bodyOf(payment)));
  };
  const element = sheet("New payment", {}, h("form", { class: "form", novalidate: true, onsubmit: submit, oninput: price, onchange: price },
    wallets, recipient.element, amount.element, fee.elements, memo.element, quote.element, wrong,
    h("div", { class: "bar" }, h("button", { class: "button main", type: "submit" }, "Review payment"))));
  refresh();
  return { element, refresh, blame, end: quote.end, wallets: (list) => { types = list; refresh(); }, focus: () => recipient.input.focus() };
}

/** What is posted. Only what was given, so that the cluster's defaults stay its own. */
export function bodyOf(payment) {
  return {
    recipient: payment.recipient,
    amount_sats: payment.sats,
    type: payment.type,
    ...(!payment.rateGiven ? {} : { fee_rate: payment.rate }),
    ...(payment.metadata ? { metadata: payment.metadata } : {}),
  };
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
