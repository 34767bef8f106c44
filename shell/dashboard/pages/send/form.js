// The form of a payment. It checks what can be checked here; the rest is the node's answer, shown at the field it names.

import { choices } from "../../js/choices.js";
import { fill, h, id } from "../../js/dom.js";
import { feeChoices, size } from "../../js/fees.js";
import { btc, grouped, parseAmount, sats } from "../../js/format.js";
import { sheet } from "../../js/parts.js";
import { walletName } from "../../js/words.js";

const RATE = /^\d{1,6}(\.\d{1,3})?$/;

export function paymentForm(types, facts, review) {
  const chosen = { type: types[0], fee: "standard" };
  const recipient = field("Recipient", textInput({ spellcheck: "false", autocapitalize: "none", class: "mono" }), "A Bitcoin address of this network.");
  const amount = field("Amount", textInput({ inputmode: "decimal" }), "");
  const unit = h("select", { "aria-label": "Unit" }, h("option", { value: "btc" }, "BTC"), h("option", { value: "sat" }, "sat"));
  const joined = h("div", { class: "joined" });
  amount.input.replaceWith(joined);
  joined.append(amount.input, unit);
  const rate = field("Fee rate in sat/vB", textInput({ inputmode: "decimal", placeholder: "for example 2.5" }), "");
  const memo = field("Reference", textInput({}), "Optional; an invoice number, say. Every node keeps it with the payment, and it never goes to the Bitcoin network.");
  const wallets = h("div");
  const fees = h("div");
  const wrong = h("p", { class: "wrong", role: "alert" });
  const fields = { "/recipient": recipient, "/amount_sats": amount, "/fee_rate": rate, "/metadata": memo };

  const drawWallets = (list) => fill(wallets, choices("From", list.map((type) => ({
    value: type, name: walletName(type), hint: `${btc(facts.balances.get(type)?.spendable_sats ?? 0)} BTC spendable`,
  })), chosen.type, (type) => { chosen.type = type; refresh(); }));
  const drawFees = () => {
    const options = feeChoices(facts.status?.chain);
    if (!options.some((option) => option.value === chosen.fee)) chosen.fee = "standard";
    chosen.options = options;
    fill(fees, choices("Fee", options, chosen.fee, (value) => {
      chosen.fee = value;
      rate.element.hidden = value !== "own";
      if (value === "own") rate.input.focus();
    }));
    rate.element.hidden = chosen.fee !== "own";
  };
  let drawn = "";
  const refresh = () => {
    // Drawn anew only when a number has changed: what has the focus should keep it.
    const now = JSON.stringify([types, [...facts.balances].map(([type, one]) => [type, one.spendable_sats]), facts.status?.chain?.fee_estimates, chosen.type]);
    if (now !== drawn && !wallets.contains(document.activeElement) && !fees.contains(document.activeElement)) {
      drawn = now;
      drawWallets(types);
      drawFees();
    }
    echo();
  };
  const echo = () => {
    const read = parseAmount(amount.input.value, unit.value);
    const balance = facts.balances.get(chosen.type);
    const other = read.sats === undefined ? "" : unit.value === "btc" ? `= ${sats(read.sats)}. ` : `= ${btc(read.sats)} BTC. `;
    amount.hint.textContent = `${other}${balance ? `Spendable: ${btc(balance.spendable_sats)} BTC.` : ""}`;
  };
  amount.input.addEventListener("input", echo);
  unit.addEventListener("change", () => { convert(amount.input, unit.value); echo(); });

  const submit = (event) => {
    event.preventDefault();
    const payment = read();
    if (payment) review(payment);
  };
  /** The payment, or nothing after saying what is wrong with each field. */
  const read = () => {
    for (const one of Object.values(fields)) one.complain("");
    wrong.textContent = "";
    const to = recipient.input.value.trim();
    const given = parseAmount(amount.input.value, unit.value);
    const own = rate.input.value.trim();
    if (to === "") recipient.complain("Say whom to pay.");
    else if (/^bitcoin:/i.test(to)) recipient.complain("This is a payment link; give only the address in it.");
    else if (/\s/.test(to)) recipient.complain("An address has no spaces.");
    if (given.error) amount.complain(given.error);
    if (chosen.fee === "own" && !RATE.test(own)) rate.complain("Write a number of sat/vB like 2 or 1.5, with three decimals at most.");
    const first = Object.values(fields).find((one) => one.input.getAttribute("aria-invalid") === "true");
    if (first) { first.input.focus(); return null; }
    const level = chosen.options.find((option) => option.value === chosen.fee);
    const payRate = chosen.fee === "own" ? Number(own) : level.rate;
    const vb = size(chosen.type, to);
    return {
      type: chosen.type, recipient: to, sats: given.sats, rate: payRate, rateGiven: level.given, level: level.name, metadata: memo.input.value.trim(),
      fee: payRate === null ? null : Math.ceil(payRate * vb),
    };
  };

  const element = sheet("New payment", {}, h("form", { class: "form", novalidate: true, onsubmit: submit },
    wallets, recipient.element, amount.element, fees, rate.element, memo.element, wrong,
    h("div", { class: "bar" }, h("button", { class: "button main", type: "submit" }, "Review payment"))));
  refresh();
  return {
    element,
    refresh,
    wallets: (list) => { types = list; refresh(); },
    focus: () => recipient.input.focus(),
    /** Shows a refusal at the fields it names. Whether it named any. */
    blame: (problem) => {
      const named = problem.errors.filter((error) => fields[error.pointer]);
      for (const error of named) fields[error.pointer].complain(capital(error.message));
      if (named.some((error) => error.pointer === "/fee_rate") && chosen.fee !== "own") { rate.complain(""); wrong.textContent = problem.message; }
      fields[named[0]?.pointer]?.input.focus();
      return named.length > 0;
    },
  };
}

function textInput(attributes) {
  return h("input", { type: "text", autocomplete: "off", ...attributes });
}

/** A field with its label, its hint, and room for what is wrong with it. */
function field(label, input, hintText) {
  input.id = id("field");
  const hint = h("p", { class: "hint", id: id("hint") }, hintText);
  const wrong = h("p", { class: "wrong", id: id("wrong"), role: "alert" });
  input.setAttribute("aria-describedby", `${wrong.id} ${hint.id}`);
  const complain = (text) => {
    wrong.textContent = text;
    input.setAttribute("aria-invalid", String(text !== ""));
  };
  input.addEventListener("input", () => complain(""));
  const element = h("div", { class: "field" }, h("label", { for: input.id }, label), input, wrong, hint);
  return { element, input, hint, complain };
}

/** Keeps the amount when the unit changes. */
function convert(input, unit) {
  const before = parseAmount(input.value, unit === "btc" ? "sat" : "btc");
  if (before.sats !== undefined) input.value = unit === "btc" ? btc(before.sats).replaceAll(",", "") : grouped(before.sats).replaceAll(",", "");
}

function capital(text) {
  const sentence = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(sentence) ? sentence : `${sentence}.`;
}
