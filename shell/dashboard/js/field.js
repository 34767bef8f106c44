// A text field with its label, its hint, and room for what is wrong with it.

import { h, id } from "./dom.js";

/** `attributes` of the input; `beside` stands at its right. */
export function field(label, attributes, { hint: hintText = "", beside = null } = {}) {
  const input = h("input", { type: "text", autocomplete: "off", ...attributes, id: id("field") });
  const hint = h("p", { class: "hint", id: id("hint") }, hintText);
  const wrong = h("p", { class: "wrong", id: id("wrong"), role: "alert" });
  input.setAttribute("aria-describedby", `${wrong.id} ${hint.id}`);
  const complain = (text) => {
    wrong.textContent = text;
    input.setAttribute("aria-invalid", String(text !== ""));
  };
  input.addEventListener("input", () => complain(""));
  const element = h("div", { class: "field" }, h("label", { for: input.id }, label),
    beside ? h("div", { class: "joined" }, input, beside) : input, wrong, hint);
  return { element, input, hint, complain, isWrong: () => input.getAttribute("aria-invalid") === "true" };
}
