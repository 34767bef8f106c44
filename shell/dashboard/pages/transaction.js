// One payment: its life as it happens, who voted what, and what the transaction does.

import { paths } from "../js/api.js";
import { announce, fill, h } from "../js/dom.js";
import { sats } from "../js/format.js";
import { watch } from "../js/live.js";
import { amount, copyButton, pageHead, problemBox, sheet, stateMark } from "../js/parts.js";
import { stateMeaning, stateName, subStatus } from "../js/words.js";
import { approvalSheet, approvalState } from "./transaction/approval.js";
import { contentSheet, factsSheet } from "./transaction/content.js";
import { feeSheet, mayRaise } from "./transaction/fee.js";
import { logSheet, track } from "./transaction/life.js";
import { votesSheet } from "./transaction/votes.js";

export const transaction = { title: "Transaction", show };

function show(root, txid) {
  const top = h("div");
  const life = h("div");
  const left = h("div", { class: "seven stack" });
  const people = h("div");
  const raise = h("div");
  const right = h("div", { class: "five stack" });
  fill(root, pageHead("Payment", h("p", { class: "mono breakable txid" }, txid), h("div", { class: "actions" }, copyButton(txid, "txid", "Copy txid"))),
    h("div", { class: "stack" }, top, people, raise, life, h("div", { class: "grid" }, left, right)));
  let before = null;
  let asked = "";
  let raisable = false;
  return watch(paths.transaction(txid.toLowerCase()), ({ data, problem }) => {
    if (problem) {
      fill(top, problemBox(problem));
      return;
    }
    if (before && before !== data.state) announce(`The payment is now: ${stateName(data.state)}`);
    before = data.state;
    fill(top, summary(data));
    const now = data.approval.required || data.approval.decisions.length > 0 ? approvalState(data) : "";
    if (now !== asked) {
      asked = now;
      fill(people, now && approvalSheet(data));
    }
    if (raisable !== mayRaise(data)) {
      raisable = mayRaise(data);
      fill(raise, raisable && feeSheet(data));
    }
    fill(life, sheet("Life of this payment", {}, track(data)));
    fill(left, votesSheet(data), contentSheet(data));
    fill(right, factsSheet(data), logSheet(data));
  });
}

function summary(data) {
  const detail = subStatus(data.sub_status, data.state);
  return h("section", { class: "sheet paid", "aria-label": "Summary" },
    h("div", {}, h("p", { class: "headline" }, amount(data.amount_sats)), h("p", { class: "soft" }, sats(data.amount_sats))),
    h("div", { class: "standing" },
      h("p", { id: "state", "data-state": data.state }, stateMark(data.state), " ", h("span", { class: "soft" }, stateMeaning(data.state))),
      detail && h("p", {}, detail),
      ["broadcasting", "confirmed"].includes(data.state) && confirmations(data)));
}

function confirmations({ confirmations: have, confirmations_required: need }) {
  const text = have >= need ? `${have} confirmation${have === 1 ? "" : "s"} (${need} needed)` : `${have} of ${need} confirmations`;
  return h("p", {}, h("progress", { max: need, value: Math.min(have, need), "aria-label": text }), " ", text);
}
