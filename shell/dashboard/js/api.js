// Every request to the node goes through here.

import { authorization, refused } from "./key.js";

const PATIENCE_MS = 8_000;
/** A payment may take longer: the node answers when it is on disk. */
const POST_PATIENCE_MS = 30_000;

/** What the node refused, in its own words (RFC 9457). */
export class Problem extends Error {
  constructor(status, document) {
    super(document.detail ?? `The node answered ${status}.`);
    this.status = status;
    this.code = document.code ?? "unknown";
    this.requestId = document.request_id ?? null;
    this.document = document;
    /** [{pointer, message}], which name the fields to blame. */
    this.errors = document.errors ?? [];
  }
}

/** There was no answer. A request that changes something may have been carried out all the same. */
export class Silence extends Error {}

function headers(more) {
  return { accept: "application/json", ...authorization(), ...more };
}

async function request(path, options, patience) {
  try {
    const signal = options.signal ?? AbortSignal.timeout(patience);
    return await fetch(path, { cache: "no-store", credentials: "same-origin", ...options, signal });
  } catch (error) {
    throw new Silence(error.name === "TimeoutError" ? "The node did not answer in time." : "The node cannot be reached.");
  }
}

/** The document that came; of a refusal, too. */
async function document(response) {
  const body = await read(response);
  if (response.status === 401) refused(body.detail);
  return body;
}

async function read(response) {
  try {
    return await response.json();
  } catch {
    if (response.ok) throw new Silence("The answer broke off.");
    return {};
  }
}

/** Reads. `tag` is the ETag of what is there already; the answer is `null` data if it is still good. */
export async function get(path, tag) {
  const response = await request(path, { headers: headers(tag ? { "if-none-match": tag } : {}) }, PATIENCE_MS);
  if (response.status === 304) return { data: null, tag };
  const body = await document(response);
  if (!response.ok) throw new Problem(response.status, body);
  return { data: body, tag: response.headers.get("etag") };
}

/** Writes. The same `key` twice is one request. */
export async function post(path, body, key) {
  const more = { "content-type": "application/json", ...(key ? { "idempotency-key": key } : {}) };
  const response = await request(path, { method: "POST", headers: headers(more), body: JSON.stringify(body) }, POST_PATIENCE_MS);
  const answer = await document(response);
  if (!response.ok) throw new Problem(response.status, answer);
  return answer;
}

/** The body of the stream of events, from now on or from after the event `last`; it goes on until `signal` ends it. */
export async function events(last, signal) {
  const more = { accept: "text/event-stream", ...(last ? { "last-event-id": last } : {}) };
  const response = await request(paths.events, { headers: headers(more), signal }, null);
  if (!response.ok) throw new Problem(response.status, await document(response));
  return response.body;
}

/** A picture, as an address for an image element; `URL.revokeObjectURL` ends it. */
export async function picture(path) {
  const response = await request(path, { headers: { ...headers({}), accept: "image/svg+xml" } }, PATIENCE_MS);
  if (!response.ok) throw new Problem(response.status, await document(response));
  return URL.createObjectURL(await response.blob());
}

/** A path with its query; what is empty is left out. */
export function query(path, parameters) {
  const given = Object.entries(parameters).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return given.length ? `${path}?${new URLSearchParams(given)}` : path;
}

/** All pages of a list, page after page, at most `most` items. */
export async function* pages(path, parameters, most = 10_000) {
  let cursor = null;
  let seen = 0;
  do {
    const { data } = await get(query(path, { ...parameters, limit: 200, cursor }));
    seen += data.items.length;
    yield data.items;
    cursor = data.next_cursor;
  } while (cursor && seen < most);
}

export const paths = {
  health: "/health",
  status: "/api/v1/cluster/status",
  nodes: "/api/v1/cluster/nodes",
  presignatures: "/api/v1/presignatures",
  transactions: "/api/v1/transactions",
  preview: query("/api/v1/transactions", { dry_run: true }),
  violations: "/api/v1/violations",
  events: "/api/v1/events",
  freeze: "/api/v1/cluster/freeze",
  lift: "/api/v1/cluster/lift",
  balance: (type) => query("/api/v1/wallet/balance", { type }),
  address: (wanted) => query("/api/v1/wallet/address", wanted),
  qr: (wanted) => query("/api/v1/wallet/address/qr", wanted),
  transaction: (txid) => `/api/v1/transactions/${encodeURIComponent(txid)}`,
  awaiting: query("/api/v1/transactions", { awaiting: "approval", limit: 50 }),
  latest: query("/api/v1/transactions", { limit: 8 }),
  open: query("/api/v1/transactions", { state: "pending,voting,threshold_reached,approved,signing,signed,broadcasting", limit: 50 }),
};
