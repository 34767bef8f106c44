// The emergency stop: one node stops all signing, as many as the threshold lift it.

import { paths, post } from "../../js/api.js";
import { deed } from "../../js/act.js";
import { h } from "../../js/dom.js";
import { plural } from "../../js/format.js";
import { mark, moment, sheet } from "../../js/parts.js";

export function freezeSheet({ freezes, node_id: me }) {
  const active = freezes.length > 0;
  return sheet("Emergency stop", { aside: active ? mark("Frozen", "bad") : mark("Not frozen", "good") },
    active && h("ul", { class: "list" }, freezes.map((freeze) => one(freeze, me))),
    active
      ? deed({ name: "Lift", key: "lift", means: "This node's voice for signing again. It is signed and cannot be taken back.", tone: "main", act: () => post(paths.lift, {}) })
      : deed({ name: "Freeze", key: "freeze", words: "Reason", required: true, tone: "main",
        means: "Stops all signing in the whole cluster at once. Open payments wait, new ones are refused. One node is enough to stop, as many as the threshold must lift it.",
        act: (reason) => post(paths.freeze, { reason }) }));
}

/** What the sheet shows, as text to compare: it is drawn anew only when this has changed. */
export function freezeState({ freezes }) {
  return JSON.stringify(freezes);
}

function one({ node_id: node, operator, reason, at, lifted_by: lifted, lifts_needed: needed }, me) {
  return h("li", {},
    h("div", { class: "title" }, h("b", {}, `${operator ?? "Operator"} at node ${node}`), h("span", {}, moment(at))),
    h("p", { class: "breakable" }, reason),
    h("p", { class: "note" }, lifted.length > 0 ? `Lifted by ${lifted.map((id) => `node ${id}`).join(", ")}; ${plural(needed - lifted.length, "more node")} needed.` : `${plural(needed, "node")} must lift it.`,
      lifted.includes(me) && " This node has."));
}
