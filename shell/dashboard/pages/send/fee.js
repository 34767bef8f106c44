// Which fee rate: what the chain backend estimates for some waiting times, or one's own.

import { choices } from "../../js/choices.js";
import { fill, h } from "../../js/dom.js";
import { feeChoices } from "../../js/fees.js";
import { field } from "../../js/field.js";

const RATE = /^\d{1,6}(\.\d{1,3})?$/;
const OWN = "own";

export function feePart() {
  const list = h("div");
  const own = field("Fee rate in sat/vB", { inputmode: "decimal", placeholder: "for example 2.5" });
  let chosen = "standard";
  let levels = feeChoices(null);
  const choose = (value) => {
    chosen = value;
    own.element.hidden = value !== OWN;
  };
  const draw = (chain) => {
    levels = feeChoices(chain);
    if (!levels.some((level) => level.value === chosen)) chosen = "standard";
    choose(chosen);
    fill(list, choices("Fee", levels, chosen, (value) => {
      choose(value);
      if (value === OWN) own.input.focus();
    }));
  };
  /** {rate, given, level}, or {error}. */
  const read = () => {
    const { rate, given, name } = levels.find((level) => level.value === chosen);
    if (chosen !== OWN) return { rate, given, level: name };
    const text = own.input.value.trim();
    if (RATE.test(text)) return { rate: Number(text), given, level: null };
    return { error: "Write a number of sat/vB like 2 or 1.5, with three decimals at most." };
  };
  return { elements: [list, own.element], own, draw, read, isOwn: () => chosen === OWN, hasFocus: () => list.contains(document.activeElement) };
}
