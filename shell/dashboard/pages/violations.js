// What nodes did wrong, with the evidence, newest first.

import { get, pages, paths, query } from "../js/api.js";
import { fill, h } from "../js/dom.js";
import { plural } from "../js/format.js";
import { watch } from "../js/live.js";
import { copyButton, download, mark, moment, pageHead, problemBox, sheet, transactionLink } from "../js/parts.js";
import { violationMeaning, violationName } from "../js/words.js";

export const violations = { title: "Violations", show };

const PAGE = 50;

function show(root) {
  const list = h("div");
  const trouble = h("div");
  const save = h("button", { type: "button", class: "button", onclick: () => exportAll() }, "Download JSON");
  fill(root, pageHead("Violations", h("p", {}, "Broken rules as this node recorded them."), h("div", { class: "actions" }, save)), h("div", { class: "stack" }, trouble, list));
  let older = [];
  let cursor = null;
  let newest = [];
  const draw = () => fill(list, listSheet([...newest, ...older], cursor, more));
  const more = async () => {
    try {
      const { data } = await get(query(paths.violations, { limit: PAGE, cursor }));
      older = [...older, ...data.items];
      cursor = data.next_cursor;
      draw();
    } catch (error) {
      fill(trouble, problemBox(error));
    }
  };
  const exportAll = async () => {
    try {
      const all = [];
      for await (const page of pages(paths.violations, {}, Infinity)) all.push(...page);
      download(`violations-${new Date().toISOString().slice(0, 10)}.json`, "application/json", `${JSON.stringify(all, null, 2)}\n`);
    } catch (error) {
      fill(trouble, problemBox(error));
    }
  };
  return watch(query(paths.violations, { limit: PAGE }), ({ data, problem }) => {
    if (problem) fill(trouble, problemBox(problem));
    if (!data) return;
    fill(trouble);
    newest = data.items;
    older = [];
    cursor = data.next_cursor;
    draw();
  });
}

function listSheet(items, cursor, more) {
  if (items.length === 0) {
    return sheet("None", {}, h("p", { class: "empty" }, "This node has recorded no violation. Double votes, invalid signatures, silence where an answer was due and broken protocol rules would stand here, with the evidence."));
  }
  return sheet(`${plural(items.length, "violation")}${cursor ? " so far" : ""}`, {},
    h("ul", { class: "list" }, items.map(entry)),
    cursor && h("p", { class: "below" }, h("button", { type: "button", class: "button", "data-key": "more", onclick: more }, "Load older ones")));
}

function sentence(text) {
  return /[.!?]$/.test(text) ? text : `${text}.`;
}

function entry(item) {
  const proof = item.evidence;
  return h("li", {},
    h("div", { class: "title" }, h("b", {}, `Node ${item.node_id}: ${violationName(item.violation_type)}`), moment(item.detected_at, { full: true })),
    h("p", {}, mark(proof ? "proven" : "circumstantial", proof ? "bad" : "warn", proof ? "The evidence convinces anybody, offline." : "Enough of these lead to a ban; one alone proves nothing."), " ", violationMeaning(item.violation_type)),
    h("p", { class: "note breakable" }, sentence(item.detail), item.txid && [" Payment ", transactionLink(item.txid, `${item.detected_at}-`), "."]),
    proof && h("details", { "data-key": `proof-${item.detected_at}-${item.node_id}` },
      h("summary", {}, `Evidence, ${plural(proof.length / 2, "byte")}`), h("pre", {}, proof), h("p", { class: "below" }, copyButton(proof, "evidence"))));
}
