// Keeps what pages show fresh, and knows whether the node is there.
//
// The node says what happens, and whatever an event speaks of is asked for anew. Where events do not reach, each path that
// somebody watches is asked for again and again: often while a payment moves, seldom otherwise.

import { Problem, Silence, get, paths } from "./api.js";
import { Stream } from "./stream.js";

/** What events tell all about: the kinds that change it. */
const TOLD = [
  [/^\/api\/v1\/transactions\b/, /^transaction\./],
  [/^\/api\/v1\/wallet\/balance\b/, /^(transaction|wallet|chain|key)\./],
  [/^\/api\/v1\/violations\b/, /^(violation|node)\./],
];
/** What they tell something about. */
const TOUCHED = [
  [/^\/api\/v1\/cluster\/status$/, /^(cluster|transaction|chain|key|node)\./],
  [/^\/api\/v1\/cluster\/nodes$/, /^(cluster|violation|node)\./],
  [/^\/api\/v1\/presignatures$/, /^presig\./],
];
/** What is told is asked for all the same, in case this file is wrong about it. */
const TOLD_MS = 30_000;
/** What changes together is told in several events: they are gathered for a moment, */
const GATHER_MS = 50;
/** and a busy node is asked no more often than this. */
const GATHER_BUSY_MS = 500;

const FAST_MS = 1_000;
const SLOW_MS = 4_000;
/** The status is small and tells whether anything moves, which another node may have begun. */
const STATUS_MS = 2_000;
/** Nobody looks: enough to be right at the first glance. */
const HIDDEN_MS = 15_000;
/** So long without an answer, and the node counts as down rather than as away for a moment. */
const DOWN_AFTER_MS = 15_000;

const feeds = new Map();
const listeners = new Set();
const contact = { last: null, failing: false, since: performance.now() };
let moving = false;

class Feed {
  watchers = new Set();
  state = { data: null, problem: null };
  #tag = null;
  #shown = null;
  #timer = null;
  #asking = false;
  #again = false;

  constructor(path) {
    this.path = path;
  }

  start() {
    if (this.#timer === null && !this.#asking) this.#ask();
  }

  stop() {
    clearTimeout(this.#timer);
    this.#timer = null;
  }

  /** Asks at once instead of when it is due; the answer under way may be older than the reason to hurry. */
  hurry() {
    if (this.#asking) {
      this.#again = true;
      return;
    }
    clearTimeout(this.#timer);
    this.#ask();
  }

  async #ask() {
    this.#asking = true;
    this.#again = false;
    try {
      const { data, tag } = await get(this.path, this.#tag);
      answered();
      this.#tag = tag;
      if (data !== null) this.#show({ data, problem: null });
    } catch (error) {
      if (error instanceof Problem) {
        answered();
        this.#show({ data: null, problem: error });
      } else if (error instanceof Silence) {
        silent();
      } else {
        throw error;
      }
    } finally {
      this.#asking = false;
      const due = this.#again ? 0 : pause(this.path);
      this.#timer = this.watchers.size > 0 ? setTimeout(() => this.#ask(), due) : null;
    }
  }

  #show(state) {
    // A problem has another request id each time and is the same all the same.
    const text = state.data ? JSON.stringify(state.data) : `${state.problem.code} ${state.problem.message}`;
    if (text === this.#shown) return;
    this.#shown = text;
    this.state = state;
    for (const watcher of [...this.watchers]) watcher(state);
    if (this.path === paths.status && state.data) follow(state.data.open_transactions > 0);
  }
}

function pause(path) {
  if (document.hidden) return HIDDEN_MS;
  if (stream.open && TOLD.some(([told]) => told.test(path))) return TOLD_MS;
  if (contact.failing || (moving && !stream.open)) return FAST_MS;
  return path === paths.status ? STATUS_MS : SLOW_MS;
}

/** When something begins to move or comes to rest, everything has changed. */
function follow(moves) {
  if (moves === moving) return;
  moving = moves;
  nudge();
}

function answered() {
  const wasFailing = contact.failing;
  contact.last = performance.now();
  contact.failing = false;
  tell();
  if (wasFailing) nudge();
}

function silent() {
  contact.failing = true;
  tell();
}

/** Whether the node answers: its name, for how long it has not, and whether it tells what happens. */
export function connection() {
  const quiet = performance.now() - (contact.last ?? contact.since);
  const told = stream.open;
  if (!contact.failing) return { state: contact.last === null ? "connecting" : "live", quiet: 0, told };
  return { state: quiet > DOWN_AFTER_MS ? "down" : "reconnecting", quiet, told };
}

function tell() {
  const now = connection();
  for (const listener of listeners) listener(now);
}

/** Calls back with the connection, now and whenever it is worth another look. */
export function watchConnection(listener) {
  listeners.add(listener);
  listener(connection());
}

/** Calls back with `{data, problem}`, at once if known and after every change. Returns what ends it. */
export function watch(path, watcher) {
  const feed = feeds.get(path) ?? new Feed(path);
  feeds.set(path, feed);
  feed.watchers.add(watcher);
  if (feed.state.data || feed.state.problem) watcher(feed.state);
  feed.start();
  return () => {
    feed.watchers.delete(watcher);
    if (feed.watchers.size === 0) {
      feed.stop();
      feeds.delete(path);
    }
  };
}

/** Something was just done: look at everything now, and often until it has come to rest. */
export function nudge() {
  stream.hurry();
  for (const feed of feeds.values()) if (feed.watchers.size > 0) feed.hurry();
}

/** As `nudge`, when a payment was posted. */
export function nudgeMoving() {
  moving = true;
  nudge();
}

/** Paths of which something was told and that have not been asked for since. */
const stale = new Set();
let gathering = false;

function told(kind, data) {
  for (const path of feeds.keys()) if (concerns(kind, data, path)) stale.add(path);
  gather();
}

function gather() {
  if (stale.size === 0 || gathering) return;
  gathering = true;
  setTimeout(refresh, GATHER_MS);
}

function concerns(kind, data, path) {
  if (kind === "reset") return true;
  const one = /^\/api\/v1\/transactions\/(\w+)/.exec(path);
  if (one && data.txid !== one[1]) return false;
  return [...TOLD, ...TOUCHED].some(([paths, kinds]) => paths.test(path) && kinds.test(kind));
}

function refresh() {
  for (const path of stale) feeds.get(path)?.hurry();
  stale.clear();
  setTimeout(() => {
    gathering = false;
    gather();
  }, GATHER_BUSY_MS);
}

/** Without a stream whatever was about to be told is asked for, which also shows whether the node is there at all. */
function changed() {
  tell();
  if (!stream.open && !document.hidden) nudge();
}

const stream = new Stream({ told, changed, alive: answered });

/** Browsers open six connections to a node: a tab that nobody looks at gives its own back. */
function look() {
  if (document.hidden) {
    stream.stop();
  } else {
    stream.start();
    nudge();
  }
}

setInterval(() => contact.failing && tell(), 1_000);
document.addEventListener("visibilitychange", look);
look();
