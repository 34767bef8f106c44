// Small things that several pages show.

import { h, announce } from "./dom.js";
import { ago, btc, short, when } from "./format.js";
import { stateName, stateTone } from "./words.js";

/** An amount in bitcoin; the zeros that only fill up stand back. */
export function amount(sats) {
  if (sats === 0) return h("span", { class: "amount zeros" }, btc(0), h("span", { class: "unit" }, " BTC"));
  const [whole, fraction] = btc(sats).split(".");
  const significant = fraction.replace(/0+$/, "");
  const zeros = fraction.slice(significant.length);
  return h("span", { class: "amount" },
    `${whole}.${significant}`, zeros && h("span", { class: "zeros" }, zeros), h("span", { class: "unit" }, " BTC"));
}

export function mark(text, tone = "", title = null) {
  return h("span", { class: `mark ${tone}`, title }, text);
}

export function stateMark(state) {
  return mark(stateName(state), stateTone(state));
}

/** A moment that says how long ago it was, and keeps saying it. */
export function moment(rfc3339, { full = false } = {}) {
  if (!rfc3339) return h("span", { class: "soft" }, "–");
  return h("time", { datetime: rfc3339, title: when(rfc3339), "data-full": full }, wording(rfc3339, full));
}

function wording(rfc3339, full) {
  const past = ago(Date.now() - Date.parse(rfc3339));
  return full ? `${when(rfc3339)} (${past})` : past;
}

setInterval(() => {
  for (const time of document.querySelectorAll("time[datetime]")) {
    const text = wording(time.dateTime, time.hasAttribute("data-full"));
    if (time.textContent !== text) time.textContent = text;
  }
}, 1_000);

/** A button that copies `text` and says so. `what` names it to who cannot see what stands beside. */
export function copyButton(text, what, label = "Copy") {
  const button = h("button", { type: "button", class: "button small", "data-key": `copy-${what}`, "aria-label": `Copy ${what}` }, label);
  button.addEventListener("click", async () => {
    const done = await copy(text);
    button.textContent = done ? "Copied" : "Not copied";
    announce(done ? `${what} copied` : `${what} could not be copied`);
    setTimeout(() => { button.textContent = label; }, 2_000);
  });
  return button;
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyBySelection(text);
  }
}

/** Without TLS browsers have no clipboard interface; selecting and copying still works. */
function copyBySelection(text) {
  const area = h("textarea", { class: "unseen", "aria-hidden": "true" });
  area.value = text;
  const before = document.activeElement;
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  before?.focus();
  return done;
}

/** An address in groups of four, as people compare it. A copy of the text has no gaps. */
export function address(text) {
  const groups = text.match(/.{1,4}/g) ?? [];
  return h("p", { class: "address mono", "aria-label": text }, groups.map((group) => h("span", { "aria-hidden": "true" }, group)));
}

export function transactionLink(txid, key = "") {
  return h("a", { href: `#/tx/${txid}`, class: "mono", title: txid, "data-key": `tx-${key}${txid}` }, short(txid, 6));
}

/** Term and description pairs; `null` ones are left out. */
export function facts(pairs) {
  return h("dl", { class: "facts" }, pairs.filter(Boolean).map(([term, ...description]) => [h("dt", {}, term), h("dd", {}, description)]));
}

/** What the node refused, as a box. */
export function problemBox(problem) {
  return h("div", { class: "problem", role: "alert" }, problem.message,
    problem.requestId && h("small", {}, `Reference ${problem.requestId}`));
}

export function sheet(title, { aside = null, kind = "" } = {}, ...children) {
  const heading = aside ? h("div", { class: "title" }, h("h2", {}, title), h("span", {}, aside)) : h("h2", {}, title);
  return h("section", { class: `sheet ${kind}` }, heading, ...children);
}

export function pageHead(title, ...rest) {
  return h("div", { class: "head" }, h("h1", { tabindex: "-1" }, title), ...rest);
}

/** Saves text as a file, without asking the node for it. */
export function download(name, type, text) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  const link = h("a", { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
