// Keeps what pages show fresh, and knows whether the node is there.
//
// Each path that somebody watches is asked for again and again: often while a payment moves, seldom otherwise. When
// the node sends events, only the inside of this file changes.

import { Problem, Silence, get, paths } from "./api.js";

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

  /** Asks at once instead of when it is due. */
  hurry() {
    if (this.#asking) return;
    clearTimeout(this.#timer);
    this.#ask();
  }

  async #ask() {
    this.#asking = true;
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
      this.#timer = this.watchers.size > 0 ? setTimeout(() => this.#ask(), pause(this.path)) : null;
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
  if (moving || contact.failing) return FAST_MS;
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

/** Whether the node answers: its name, and for how long it has not. */
export function connection() {
  const quiet = performance.now() - (contact.last ?? contact.since);
  if (!contact.failing) return { state: contact.last === null ? "connecting" : "live", quiet: 0 };
  return { state: quiet > DOWN_AFTER_MS ? "down" : "reconnecting", quiet };
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
  for (const feed of feeds.values()) if (feed.watchers.size > 0) feed.hurry();
}

/** As `nudge`, when a payment was posted. */
export function nudgeMoving() {
  moving = true;
  nudge();
}

setInterval(() => contact.failing && tell(), 1_000);
document.addEventListener("visibilitychange", () => document.hidden || nudge());
