// The cluster as a map: nodes on a circle, this one at the top, and its connection to each other one.

import { s } from "./dom.js";

const SIZE = 320;
const RADIUS = 112;
const NODE = 27;

export function clusterMap(nodes) {
  const own = Math.max(0, nodes.findIndex((node) => node.is_self));
  const places = new Map(nodes.map((node, index) => [node.node_id, spot((index - own + nodes.length) % nodes.length, nodes.length)]));
  const me = nodes[own];
  const lines = nodes.filter((node) => !node.is_self).map((node) => {
    const [x1, y1] = places.get(me.node_id);
    const [x2, y2] = places.get(node.node_id);
    return s("line", { x1, y1, x2, y2, class: `link link-${node.status}` });
  });
  return s("svg", { class: "map", viewBox: `0 12 ${SIZE} ${SIZE - 24}`, role: "img", "aria-label": described(nodes) },
    lines, nodes.map((node) => drawn(node, places.get(node.node_id))));
}

function spot(step, count) {
  const angle = (step / count) * 2 * Math.PI - Math.PI / 2;
  return [SIZE / 2 + RADIUS * Math.cos(angle), SIZE / 2 + RADIUS * Math.sin(angle)];
}

function drawn(node, [x, y]) {
  const under = node.is_self ? "this node" : node.status === "online" ? heard(node) : node.status;
  return s("g", { class: `node node-${node.status}`, transform: `translate(${x.toFixed(1)} ${y.toFixed(1)})` },
    node.is_coordinator && s("circle", { r: NODE + 5, class: "lead" }),
    s("circle", { r: NODE, class: "body" }),
    s("text", { y: -1, class: "name" }, String(node.node_id)),
    s("text", { y: 13, class: "under" }, under));
}

function heard(node) {
  return node.seconds_since_heartbeat === null ? "–" : `${node.seconds_since_heartbeat} s`;
}

function described(nodes) {
  return nodes.map((node) => `${node.name} ${node.status}${node.is_coordinator ? ", coordinator" : ""}`).join("; ");
}
