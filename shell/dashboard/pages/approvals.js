// Payments that wait for people, oldest promise first to end.

import { paths } from "../js/api.js";
import { fill, h } from "../js/dom.js";
import { sats } from "../js/format.js";
import { watch } from "../js/live.js";
import { address, amount, facts, moment, pageHead, problemBox, sheet, transactionLink } from "../js/parts.js";
import { walletName } from "../js/words.js";

export const approvals = { title: "Approvals", show };

function show(root) {
  const list = h("div", { class: "stack" });
  fill(root, pageHead("Approvals", h("p", {}, "Payments that the policy of this cluster lets nobody but people decide on.")), list);
  return watch(paths.awaiting, ({ data, problem }) => {
    if (problem) fill(list, problemBox(problem));
    else fill(list, data.items.length === 0 ? sheet("Waiting", {}, h("p", { class: "empty" }, "Nothing waits for a decision.")) : data.items.map(one));
  });
}

function one(item) {
  return sheet(`Payment of ${sats(item.amount_sats)}`, { aside: transactionLink(item.txid, "awaiting-") },
    h("p", { class: "headline" }, amount(item.amount_sats)),
    facts([
      ["To", address(item.recipient)],
      ["Fee", sats(item.fee_sats)],
      item.metadata && ["Reference", item.metadata],
      item.external_id && ["Name", item.external_id],
      ["Wallet", walletName(item.type)],
      ["Proposed", [`at node ${item.proposed_by}`, item.initiated_by && ` by ${item.initiated_by}`, ", ", moment(item.created_at)]],
      ["Waits until", moment(item.expires_at, { full: true })],
    ]),
    h("p", { class: "below" }, h("a", { class: "button main", href: `#/tx/${item.txid}`, "data-key": `decide-${item.txid}` }, "Look and decide")));
}
