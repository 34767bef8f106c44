// What people say to a payment that waits for them.

import { paths, post } from "../../js/api.js";
import { deed } from "../../js/act.js";
import { h } from "../../js/dom.js";
import { plural, sats } from "../../js/format.js";
import { address, mark, moment, sheet } from "../../js/parts.js";

/** The sheet, which is the same for as long as `approvalState` is. */
export function approvalSheet(data) {
  const { decisions, above_sats: above, operators_required: required } = data.approval;
  const given = decisions.filter((decision) => decision.approve).length;
  return sheet("Approval by people", { aside: `${given} of ${plural(required, "operator")}` },
    h("p", { class: "note" }, `Payments above ${sats(above)} wait for operators at ${plural(required, "node")}. One refusal ends the payment.`),
    decisions.length > 0 && h("ul", { class: "list" }, decisions.map(decided)),
    waits(data) && deeds(data));
}

/** What the sheet shows, as text to compare: it is drawn anew only when this has changed, never under somebody's hands. */
export function approvalState(data) {
  return JSON.stringify([data.approval, waits(data)]);
}

const waits = (data) => data.state === "voting" && data.sub_status === "awaiting_approval";

function decided({ node_id: node, operator, approve, comment, at }) {
  return h("li", {}, h("div", { class: "title" }, h("b", {}, `${operator ?? "Operator"} at node ${node}`), mark(approve ? "Approved" : "Rejected", approve ? "good" : "bad")),
    comment && h("p", { class: "breakable" }, comment), h("p", { class: "note" }, moment(at, { full: true })));
}

function deeds(data) {
  const decide = (verb) => (comment) => post(`${paths.transaction(data.txid)}/${verb}`, comment ? { comment } : {});
  return h("div", { class: "form below" },
    h("p", {}, `Compare before you decide: ${sats(data.amount_sats)} to`), address(data.recipient),
    deed({ name: "Approve", key: "approve", means: "This node's voice for this payment. It is signed and cannot be taken back.", words: "Comment", tone: "main", act: decide("approve") }),
    deed({ name: "Reject", key: "reject", means: "Ends this payment at every node that asks for people. It is signed and cannot be taken back.", words: "Comment", act: decide("reject") }));
}
