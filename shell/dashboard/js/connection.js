// The connection to the node, always in sight.

import { ago, span } from "./format.js";
import { watchConnection } from "./live.js";

function wording({ state, quiet }) {
  if (state === "connecting") return "Connecting";
  if (state === "live") return "Live";
  return state === "reconnecting" ? `Reconnecting, last seen ${ago(quiet)}` : "Node down";
}

function warning({ state, quiet }) {
  const since = span(quiet);
  return state === "down"
    ? `This node has not answered for ${since}. What you see is as old as that. The other nodes serve the same pages, and payments go on without this one while enough of them are up.`
    : "This node does not answer at the moment. What you see is what it said last.";
}

/** A hiccup shorter than this is not worth a banner. */
const PATIENCE_MS = 2_500;

export function startConnection() {
  const badge = document.getElementById("connection");
  const words = badge.querySelector("span");
  const banner = document.getElementById("outage");
  const main = document.getElementById("main");
  watchConnection((now) => {
    // Seconds that count up would be read aloud every second.
    badge.setAttribute("aria-live", now.state === badge.dataset.state ? "off" : "polite");
    badge.dataset.state = now.state;
    badge.dataset.by = now.told ? "events" : "looks";
    badge.title = now.told ? "Changes are shown as they happen." : "Changes are shown within seconds.";
    words.textContent = wording(now);
    const out = now.state === "down" || (now.state === "reconnecting" && now.quiet > PATIENCE_MS);
    main.toggleAttribute("data-stale", out);
    banner.hidden = !out;
    banner.dataset.state = now.state;
    if (out) banner.textContent = warning(now);
  });
}
