// The node's events as they come (server-sent events), and after a break what was missed meanwhile.
//
// The browser's own EventSource cannot show an API key, so the stream is read from a request.

import { Problem, Silence, events } from "./api.js";

/** The node sends a sign of life every 15 s; without any for so long the line is dead. */
const DEAD_MS = 40_000;
/** Until another try when the node would rather have none. */
const REFUSED_MS = 15_000;

/** Reads blocks `{id, event, data, retry}` from a body; `alive` hears of everything that comes. */
async function* blocks(body, alive) {
  let block = {};
  for await (const line of lines(body, alive)) {
    if (line === "") {
      yield block;
      block = {};
      continue;
    }
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    // A line that begins with a colon is a comment.
    if (field) block[field] = field === "data" && "data" in block ? `${block.data}\n${value}` : value;
  }
}

async function* lines(body, alive) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await next(reader);
    if (done) return;
    alive();
    const parts = (rest + value).split(/\r\n|\n|\r/);
    rest = parts.pop();
    yield* parts;
  }
}

async function next(reader) {
  try {
    return await reader.read();
  } catch {
    throw new Silence("The stream broke off.");
  }
}

/** One stream, again and again: `told` hears each event, `changed` whether there is a stream, `alive` every sign of life. */
export class Stream {
  open = false;
  #heard;
  #last = null;
  #retry = 3_000;
  #request = null;
  #timer = null;

  constructor(heard) {
    this.#heard = heard;
  }

  start() {
    if (this.#request === null && this.#timer === null) this.#listen();
  }

  stop() {
    this.#request?.abort();
    this.#request = null;
    this.#wait(null);
    this.#set(false);
  }

  /** Tries at once instead of when it is due. */
  hurry() {
    if (this.#timer === null) return;
    this.#wait(null);
    this.#listen();
  }

  async #listen() {
    const request = new AbortController();
    this.#request = request;
    let dead = null;
    const alive = () => {
      clearTimeout(dead);
      dead = setTimeout(() => request.abort(), DEAD_MS);
    };
    alive();
    let pause = null;
    try {
      const body = await events(this.#last, request.signal);
      this.#set(true);
      for await (const block of blocks(body, () => { alive(); this.#heard.alive(); })) this.#take(block);
    } catch (error) {
      if (error instanceof Problem) pause = REFUSED_MS;
      else if (!(error instanceof Silence)) throw error;
    } finally {
      clearTimeout(dead);
      if (this.#request === request) {
        this.#request = null;
        this.#wait(pause ?? this.#retry);
        this.#set(false);
      }
    }
  }

  #take(block) {
    if ("id" in block) this.#last = block.id;
    if (/^\d+$/.test(block.retry ?? "")) this.#retry = Number(block.retry);
    if ("data" in block) this.#heard.told(block.event, JSON.parse(block.data));
  }

  #wait(pause) {
    clearTimeout(this.#timer);
    this.#timer = pause === null ? null : setTimeout(() => { this.#timer = null; this.#listen(); }, pause);
  }

  #set(open) {
    if (this.open === open) return;
    this.open = open;
    this.#heard.changed();
  }
}
