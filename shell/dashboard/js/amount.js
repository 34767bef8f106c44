// How much, in bitcoin or satoshis, with the other unit beside it.

import { h } from "./dom.js";
import { field } from "./field.js";
import { btc, parseAmount, sats } from "./format.js";

/** `spendable` gives the satoshis that can be spent, or nothing if that is not known or does not matter. */
export function amountField(label, { spendable = () => undefined, ...attributes } = {}) {
  const unit = h("select", { "aria-label": "Unit" }, h("option", { value: "btc" }, "BTC"), h("option", { value: "sat" }, "sat"));
  const part = field(label, { inputmode: "decimal", ...attributes }, { beside: unit });
  const read = () => parseAmount(part.input.value, unit.value);
  const echo = () => {
    const given = read();
    const other = given.sats === undefined ? "" : unit.value === "btc" ? `= ${sats(given.sats)}. ` : `= ${btc(given.sats)} BTC. `;
    const most = spendable();
    part.hint.textContent = `${other}${most === undefined ? "" : `Spendable: ${btc(most)} BTC.`}`;
  };
  part.input.addEventListener("input", echo);
  unit.addEventListener("change", () => {
    convert(part.input, unit.value);
    echo();
  });
  return { ...part, unit, read, echo };
}

/** Keeps the amount when the unit changes. */
function convert(input, unit) {
  const before = parseAmount(input.value, unit === "btc" ? "sat" : "btc");
  if (before.sats !== undefined) input.value = unit === "btc" ? btc(before.sats).replaceAll(",", "") : String(before.sats);
}
