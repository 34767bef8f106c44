// Small drawings of numbers that people compare. Each has its numbers in words beside it or as its label.

import { h, s } from "./dom.js";

/** Parts of a whole as one bar with a legend: [{name, value, text, part}]. */
export function wholeBar(label, parts) {
  const total = parts.reduce((sum, part) => sum + part.value, 0);
  let at = 0;
  const pieces = total === 0 ? [] : parts.filter((part) => part.value > 0).map((part) => {
    const width = (part.value / total) * 100;
    const piece = s("rect", { x: `${at}%`, width: `${width}%`, y: 0, height: 10, class: `part-${part.part}` });
    at += width;
    return piece;
  });
  return h("div", { class: "whole" },
    s("svg", { class: "wholebar", width: "100%", height: 10, role: "img", "aria-label": label }, pieces));
}

/** Stock of each group of signers against the marks between which it is kept. */
export function stockChart(pool) {
  const top = Math.max(pool.high, ...pool.groups.map((group) => group.ready), 1) * 1.1;
  const scale = (count) => `${(count / top) * 100}%`;
  return h("div", { class: "stock" }, pool.groups.map((group) => {
    const tone = !group.alive ? "away" : group.ready < pool.low ? "short" : "enough";
    return h("div", { class: "stockrow" },
      h("span", { class: "stockname" }, `Nodes ${group.signers.join(" ")}`),
      s("svg", { width: "100%", height: 14, role: "img", "aria-label": `${group.ready} ready of ${pool.high} kept` },
        s("rect", { width: "100%", height: 14, class: "stocktrack" }),
        s("rect", { width: scale(group.ready), height: 14, class: `stock-${tone}` }),
        s("line", { x1: scale(pool.low), x2: scale(pool.low), y1: 0, y2: 14, class: "stocklow" }),
        s("line", { x1: scale(pool.high), x2: scale(pool.high), y1: 0, y2: 14, class: "stockhigh" })),
      h("span", { class: "stockcount" }, h("b", {}, String(group.ready)), group.in_use ? " in use" : group.alive ? " standby" : " away"));
  }));
}

/** How far a payment is: a dot for each step, in a row. */
export function wayDots(way, state, ended) {
  const reached = way.indexOf(state);
  return s("svg", { class: "dots", viewBox: `0 0 ${way.length * 12} 10`, width: way.length * 12, height: 10, "aria-hidden": "true" },
    way.map((_, index) => s("circle", {
      cx: index * 12 + 5, cy: 5, r: index === reached ? 4 : 3,
      class: ended ? "dot-bad" : index < reached ? "dot-done" : index === reached ? "dot-now" : "dot-open",
    })));
}
