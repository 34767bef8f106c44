// A choice among a few, as a group of radio buttons.

import { h, id } from "./dom.js";

/** `options`: [{value, name, hint, disabled}]. `onchange` gets the value chosen. */
export function choices(legend, options, chosen, onchange) {
  const name = id("choice");
  return h("fieldset", {}, h("legend", {}, legend), h("div", { class: "choices" }, options.map((option) =>
    h("label", { class: "choice" },
      h("input", { type: "radio", name, value: option.value, checked: option.value === chosen, disabled: option.disabled, onchange: () => onchange(option.value) }),
      h("span", {}, option.name, option.hint && h("small", {}, option.hint))))));
}
