// The states of a payment as a track with times, and the log of its changes.

import { h } from "../../js/dom.js";
import { span, when } from "../../js/format.js";
import { sheet } from "../../js/parts.js";
import { WAY, isEnd, stateMeaning, stateName, subStatus } from "../../js/words.js";

/** When each state was last entered. A reorganisation enters `broadcasting` twice. */
function entries(timeline) {
  const entered = new Map();
  for (const step of timeline) if (step.from !== step.to) entered.set(step.to, Date.parse(step.at));
  return entered;
}

export function track(data) {
  const entered = entries(data.timeline);
  const broken = isEnd(data.state) && data.state !== "confirmed";
  const here = WAY.indexOf(data.state);
  const start = Date.parse(data.timeline[0]?.at ?? data.created_at);
  const steps = WAY.filter((state) => !broken || entered.has(state)).map((state) => ({
    state, at: entered.get(state) ?? null,
    stage: broken ? "done" : WAY.indexOf(state) < here ? (entered.has(state) ? "done" : "skipped") : state !== data.state ? "ahead" : isEnd(state) ? "end" : "now",
  }));
  if (broken) steps.push({ state: data.state, at: entered.get(data.state) ?? null, stage: "broken" });
  return h("ol", { class: "track" }, steps.map((step, index) => stop(step, index, steps, start)));
}

function stop({ state, at, stage }, index, steps, start) {
  const previous = steps[index - 1]?.at ?? null;
  const took = at !== null && previous !== null && at >= previous ? `+${span(at - previous)}` : "";
  const time = at === null ? (stage === "skipped" ? "not seen here" : "") : index === 0 ? clock(at) : took;
  return h("li", { class: stage, title: stateMeaning(state), "aria-current": stage === "now" ? "step" : null },
    h("i", { "aria-hidden": "true" }),
    h("b", {}, stateName(state)),
    h("small", { title: at === null ? null : `${when(at)}, ${span(at - start)} after the start` }, time));
}

function clock(at) {
  return new Date(at).toLocaleTimeString("en-GB");
}

/** Every change as this node recorded it. */
export function logSheet(data) {
  const start = Date.parse(data.timeline[0]?.at ?? data.created_at);
  return sheet("Log", { aside: h("span", { class: "soft" }, "as this node recorded it") },
    h("ol", { class: "log" }, data.timeline.map((step) => h("li", {},
      h("time", { class: "soft", datetime: null, title: when(step.at) }, `+${span(Date.parse(step.at) - start)}`),
      h("div", {}, h("b", {}, step.from === step.to ? "" : stateName(step.to)), step.from === step.to ? "" : " ",
        subStatus(step.sub_status, step.to), step.cause && h("small", { class: "soft block breakable" }, cause(step.cause)))))));
}

/** Causes name nodes and blocks already; only their first letter is missing. */
function cause(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
