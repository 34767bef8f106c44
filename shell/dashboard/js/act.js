// A deed that a person confirms: what it means, a few words, and a button that does it once.

import { announce, h } from "./dom.js";
import { field } from "./field.js";
import { nudge } from "./live.js";

/**
 * `name` is on the buttons, `means` says what follows, `words` names the text that goes with it (`required` or not),
 * `act` gets that text and returns when it is done.
 */
export function deed({ name, key, means, words, required = false, tone = "", act }) {
  const text = words && field(words, { maxlength: "256" }, { hint: required ? "" : "Optional." });
  const outcome = h("div", { "aria-live": "assertive" });
  const sure = h("button", { type: "button", class: `button ${tone}`, "data-key": `${key}-sure` }, name);
  const element = h("details", { "data-key": key }, h("summary", {}, `${name} …`),
    h("div", { class: "form below" }, h("p", { class: "note" }, means), text?.element, outcome, h("div", { class: "bar" }, sure)));
  sure.addEventListener("click", async () => {
    const said = text?.input.value.trim() ?? "";
    text?.complain(required && !said ? "Say why: everybody will read it." : "");
    if (text?.isWrong()) {
      text.input.focus();
      return;
    }
    sure.disabled = true;
    outcome.replaceChildren();
    try {
      await act(said);
      announce(`${name}: done`);
      nudge();
    } catch (error) {
      outcome.replaceChildren(h("div", { class: "problem" }, error.message, error.requestId && h("small", {}, `Reference ${error.requestId}`)));
    }
    sure.disabled = false;
  });
  return element;
}
