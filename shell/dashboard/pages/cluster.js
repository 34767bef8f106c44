// The nodes: who is up, who leads, and whether they agree.

import { paths } from "../js/api.js";
import { fill, h } from "../js/dom.js";
import { grouped, plural, short } from "../js/format.js";
import { watch } from "../js/live.js";
import { clusterMap } from "../js/map.js";
import { freezeSheet, freezeState } from "./cluster/freeze.js";
import { copyButton, facts, mark, moment, pageHead, sheet } from "../js/parts.js";
import { health, nodeStatusMeaning, nodeStatusName, nodeStatusTone, walletName } from "../js/words.js";

export const cluster = { title: "Cluster", show };

function show(root) {
  const sentence = h("div");
  const map = h("div", { class: "five" });
  const details = h("div", { class: "seven" });
  const table = h("div");
  const stop = h("div");
  const keys = h("div");
  fill(root, pageHead("Cluster"), h("div", { class: "stack" }, sentence, h("div", { class: "grid" }, map, details), table, stop, keys));
  let status = null;
  let stopped = "";
  let notes = [];
  const tell = () => {
    if (!status) return;
    const { tone, text } = health(status);
    fill(sentence, h("section", { class: `sentence ${tone}`, "aria-label": "Cluster health" }, h("b", { id: "health" }, text)));
    fill(details, detailsSheet(status, notes));
    fill(keys, keysSheet(status));
    if (freezeState(status) !== stopped) {
      stopped = freezeState(status);
      fill(stop, freezeSheet(status));
    }
  };
  const ends = [
    watch(paths.status, ({ data }) => { status = data ?? status; tell(); }),
    watch(paths.health, ({ data }) => { notes = data?.degraded ?? notes; tell(); }),
    watch(paths.nodes, ({ data }) => {
      if (!data) return;
      fill(map, sheet("Map", { aside: "as this node sees it" }, clusterMap(data.nodes), h("p", { class: "note" }, "Dashed ring: coordinator. Numbers: seconds since the last heartbeat.")));
      fill(table, nodesSheet(data.nodes));
    }),
  ];
  return () => { for (const end of ends) end(); };
}

function nodesSheet(nodes) {
  const own = nodes.find((node) => node.is_self);
  const tip = Math.max(0, ...nodes.map((node) => node.tip_height ?? 0));
  return sheet("Nodes", {}, h("table", { class: "folds nodes" },
    h("thead", {}, h("tr", {}, ["Node", "Status", "Heartbeat", "Version", "Policy"].map((name) => h("th", { scope: "col" }, name)),
      ["Block", "Votes", "Violations"].map((name) => h("th", { scope: "col", class: "number" }, name)))),
    h("tbody", {}, nodes.map((node) => h("tr", { "data-node": node.node_id },
      h("th", { scope: "row" }, `Node ${node.node_id}`, node.is_self && h("small", { class: "soft" }, " this node"), node.is_coordinator && h("small", { class: "soft" }, " coordinator")),
      h("td", { "data-name": "Status" }, h("span", {}, mark(nodeStatusName(node.status), nodeStatusTone(node.status), nodeStatusMeaning(node.status)),
        node.banned_until && h("small", { class: "soft block" }, "until ", moment(node.banned_until, { full: true })))),
      h("td", { "data-name": "Heartbeat" }, node.is_self ? h("span", { class: "soft" }, "–") : node.seconds_since_heartbeat === null ? "never" : `${node.seconds_since_heartbeat} s ago`),
      h("td", { "data-name": "Version" }, node.version ?? "–"),
      h("td", { "data-name": "Policy" }, policy(node, own)),
      h("td", { "data-name": "Block", class: "number" }, h("span", {}, node.tip_height === null ? "–" : grouped(node.tip_height), node.tip_height !== null && node.tip_height < tip && h("small", { class: "soft" }, ` (${tip - node.tip_height} behind)`))),
      h("td", { "data-name": "Votes", class: "number" }, grouped(node.total_votes)),
      h("td", { "data-name": "Violations", class: "number" }, node.total_violations > 0 ? h("a", { href: "#/violations", "data-key": `violations-${node.node_id}` }, grouped(node.total_violations)) : "0"))))));
}

function policy(node, own) {
  if (!node.policy_version) return "–";
  const differs = own?.policy_version && node.policy_version !== own.policy_version;
  return h("span", {}, h("span", { class: "mono", title: node.policy_version }, short(node.policy_version, 4)), differs && [" ", mark("differs", "warn", "It judges payments by other rules than this node.")]);
}

function detailsSheet(status, notes) {
  const versions = Object.entries(status.versions).map(([version, count]) => `${version} (${plural(count, "node")})`).join(", ");
  return sheet("How it stands", {}, facts([
    ["Threshold", `${status.threshold} of ${status.total_nodes} nodes approve and sign; ${plural(status.faults_tolerated, "faulty node")} tolerated`],
    ["Up now", `${status.online_nodes}, ${status.quorum_margin >= 0 ? `${status.quorum_margin} more than needed` : `${-status.quorum_margin} too few`}`],
    ["Coordinator", status.coordinator ? `node ${status.coordinator}, ${status.coordination.by === "lease" ? `by etcd lease, epoch ${status.coordination.epoch}` : "as the lowest live node"}` : "none at the moment"],
    ["Chain", status.chain ? [`block ${grouped(status.chain.height)}, heard of `, moment(status.chain.observed_at), status.chain_stale ? [" ", mark("too old to approve on", "bad")] : ""] : "nothing heard yet"],
    ["Open payments", `${grouped(status.open_transactions)}, ${plural(status.signing_sessions, "signing session")}`],
    ["Software", versions],
    ["This node", `node ${status.node_id}, journal at ${grouped(status.journal_position)}, policy `, h("span", { class: "mono", title: status.policy_version }, short(status.policy_version, 6))],
    notes.length > 0 && ["Beside the node", notes.map((note) => h("p", {}, note))],
  ]));
}

function keysSheet(status) {
  return sheet("Keys", {}, status.keys.length === 0
    ? h("p", { class: "empty" }, "None yet.")
    : h("ul", { class: "list" }, status.keys.map((key) => h("li", {}, facts([
      ["Wallet", `${walletName(key.type)}, key ${key.key}, epoch ${key.epoch}`],
      ["Address", h("span", { class: "copied" }, h("span", { class: "mono" }, key.address), copyButton(key.address, `${key.key} address`))],
      ["Public key", h("span", { class: "mono" }, key.public_key)],
    ])))));
}
