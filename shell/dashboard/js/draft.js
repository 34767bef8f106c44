// The payment that is being written, and the key under which it is posted. The key belongs to exactly this content:
// however often it is posted, after a double click, a retry or a reload, it is one payment.

const PLACE = "payment-draft";

function randomKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return `dashboard-${[...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

/** The key for a body: the same while the body is the same and was not paid yet. */
export function keyFor(body) {
  const content = JSON.stringify(body);
  const kept = read();
  if (kept?.content === content) return kept.key;
  const key = randomKey();
  write({ content, key });
  return key;
}

/** It was paid, or refused for good: the next payment is another one, even with the same content. */
export function forget() {
  memory = null;
  try { sessionStorage.removeItem(PLACE); } catch { /* nothing is kept then */ }
}

let memory = null;

function read() {
  try { return JSON.parse(sessionStorage.getItem(PLACE)) ?? memory; } catch { return memory; }
}

function write(draft) {
  memory = draft;
  try { sessionStorage.setItem(PLACE, JSON.stringify(draft)); } catch { /* a reload then forgets it */ }
}
