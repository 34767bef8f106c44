// A payment that was posted and never answered: it may have been made, and can be posted again without paying twice.

import { paths, post } from "../../js/api.js";
import { h } from "../../js/dom.js";
import { btc } from "../../js/format.js";

/** `draft` as kept, or null. `done` gets the payment's document. */
export function openNotice(draft, { done, dismiss }) {
  if (!draft) return null;
  const outcome = h("p", { role: "alert" });
  const again = h("button", { type: "button", class: "button small" }, "Post it again");
  again.addEventListener("click", async () => {
    again.disabled = true;
    try {
      done(await post(paths.transactions, draft.body, draft.key));
    } catch (error) {
      outcome.textContent = error.message;
      again.disabled = false;
    }
  });
  return h("section", { class: "warnings open-draft", "aria-label": "Unanswered payment" },
    h("p", {}, `A payment of ${btc(draft.body.amount_sats)} BTC to `, h("span", { class: "mono breakable" }, draft.body.recipient), " was posted from this tab, and its answer was never seen. It may have been made. Posting it again cannot pay it twice; writing it anew can."),
    outcome,
    h("p", { class: "bar" }, again, h("a", { class: "button small", href: "#/history" }, "Look at the history"),
      h("button", { type: "button", class: "button small", onclick: dismiss }, "Forget it")));
}
