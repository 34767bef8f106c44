// Each node's vote on a payment, with its reason and its time.

import { h } from "../../js/dom.js";
import { plural, short, span } from "../../js/format.js";
import { mark, sheet } from "../../js/parts.js";
import { isEnd } from "../../js/words.js";

export function votesSheet(data) {
  const { required, total, approved, rejected, missing } = data.vote_count;
  const round = Math.max(0, ...data.votes.map((vote) => vote.round));
  const start = Date.parse(data.timeline.find((step) => step.to === "voting")?.at ?? data.created_at);
  const cards = [...data.votes.map((vote) => [vote.node_id, card(vote, start, data)]), ...missing.map((node) => [node, silent(node, data)])];
  return sheet("Votes", { aside: `${plural(approved, "approval")}, ${required} needed` },
    meter(approved, rejected, required, total),
    h("ul", { class: "votes" }, cards.sort(([a], [b]) => a - b).map(([, element]) => element)),
    round > 1 && h("p", { class: "note" }, `Round ${round}.`));
}

function meter(approved, rejected, required, total) {
  const label = `${approved} approvals, ${rejected} rejections, ${total - approved - rejected} without a vote; ${required} approvals needed`;
  const cells = Array.from({ length: total }, (_, index) => (index < approved ? "yes" : index >= total - rejected ? "no" : "open"));
  return h("div", { class: "meter", role: "img", "aria-label": label },
    cells.map((kind, index) => h("i", { class: `${kind}${index === required - 1 ? " needed" : ""}` })));
}

function card(vote, start, data) {
  const late = Date.parse(vote.received_at) - start;
  return h("li", { class: "vote" },
    h("div", { class: "title" }, h("b", {}, `Node ${vote.node_id}`), mark(vote.approve ? "Approved" : "Rejected", vote.approve ? "good" : "bad")),
    h("p", { class: "note" }, vote.reason ? `Reason: ${vote.reason}` : vote.approve ? "Its own checks passed." : "No reason given.",
      vote.node_id === data.proposed_by && " It proposed this payment."),
    h("p", { class: "note" }, late < 0 ? "Came with the proposal" : `Counted after ${span(late)}`, ", signature ",
      h("span", { class: "mono nowrap", title: vote.signature }, short(vote.signature, 4))));
}

function silent(node, data) {
  const over = isEnd(data.state) || !["pending", "voting"].includes(data.state);
  return h("li", { class: "vote" },
    h("div", { class: "title" }, h("b", {}, `Node ${node}`), mark(over ? "No vote" : "Waiting", over ? "" : "move")),
    h("p", { class: "note" }, over ? "Not counted here; it was not needed." : "Its vote has not arrived."));
}
