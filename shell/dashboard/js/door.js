// Asks for an API key when the node does, and lets its holder put it away.

import { h } from "./dom.js";
import { field } from "./field.js";
import { forgetKey, hasKey, keepKey, onRefused } from "./key.js";
import { nudge } from "./live.js";

export function startDoor(lock) {
  const key = field("API key", { type: "password", placeholder: "mpcw_…", spellcheck: "false", required: true },
    { hint: "Kept until this tab is closed. Whoever runs this node makes keys with mpc-wallet-cli key create." });
  const form = h("form", { method: "dialog", class: "form" },
    h("h2", {}, "This node asks for a key"), key.element,
    h("div", { class: "bar" }, h("button", { class: "button main", id: "enter" }, "Enter")));
  const dialog = h("dialog", { id: "door" }, form);
  // Without a key there is nothing to go back to.
  dialog.addEventListener("cancel", (event) => event.preventDefault());
  document.body.append(dialog);

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    keepKey(key.input.value.trim());
    key.input.value = "";
    dialog.close();
    lock.hidden = false;
    nudge();
  });
  onRefused((detail) => {
    lock.hidden = true;
    if (dialog.open) return;
    if (hasKey()) key.complain(detail);
    forgetKey();
    dialog.showModal();
  });
  lock.hidden = !hasKey();
  lock.addEventListener("click", () => {
    forgetKey();
    // What was shown is for holders of a key.
    location.reload();
  });
}
