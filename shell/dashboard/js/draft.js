// The payment that was posted last and whose outcome is not known yet, and the key under which it was. The key belongs
// to exactly this content: however often it is posted, after a double click, a retry or a reload, it is one payment.

const PLACE = "payment-draft";

function randomKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return `dashboard-${[...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

/** The key to post a body under: the same while the body is the same and its outcome is not known. */
export function keyFor(body) {
  const content = JSON.stringify(body);
  const kept = read();
  if (kept?.content === content) return kept.key;
  const key = randomKey();
  write({ content, key });
  return key;
}

/** `{body, key}` of a payment that was posted without a certain answer, or null. */
export function unanswered() {
  const kept = read();
  return kept && { body: JSON.parse(kept.content), key: kept.key };
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
