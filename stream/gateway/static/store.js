// What the gateway says: asked for with `get`, and told by server-sent events. And the token that it
// may ask for, which this tab alone remembers.

const PATIENCE = 15_000;
const AGAIN = 2_000;
const KEY = "tidecast-token";

/** The gateway's refusal, in its own words; `status` is 0 where it did not answer at all. */
export class Refusal extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

/** Whether a token was given. */
export const signed = () => sessionStorage.getItem(KEY) !== null;

/** Shows `token` from now on. */
export const sign = (token) => sessionStorage.setItem(KEY, token);

function shown() {
  return signed() ? { authorization: `Bearer ${sessionStorage.getItem(KEY)}` } : {};
}

/** The answer to a question. */
export async function get(path, signal) {
  const limit = AbortSignal.timeout(PATIENCE);
  let response;
  try {
    response = await fetch(path, { headers: shown(), signal: signal ? AbortSignal.any([signal, limit]) : limit });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Refusal(0, "the gateway does not answer");
  }
  const body = await response.json();
  // Not ready yet, but an answer.
  if (!response.ok && !("ready" in body)) throw new Refusal(response.status, body.detail);
  return body;
}

/** Tells of changes as they come, and whether the connection stands. */
export class Changes extends EventTarget {
  connected = false;
  #listens = false;

  /** Listens for ever; without a token where one is asked for, it ends: start it again with one. */
  async start() {
    if (this.#listens) return;
    this.#listens = true;
    for (;;) {
      try {
        // Not by EventSource, which cannot show a token.
        const response = await fetch("/api/stream?events=changes", { headers: shown() });
        if (response.status === 401) break;
        if (response.ok) await this.#read(response.body.pipeThrough(new TextDecoderStream()).getReader());
      } catch (error) {
        if (!(error instanceof TypeError)) throw error; // else the connection is gone: that is told below
      }
      this.#set(false);
      await new Promise((over) => setTimeout(over, AGAIN));
    }
    this.#listens = false;
  }

  /** Takes events from the stream to its end: blocks of lines with an empty one between. */
  async #read(reader) {
    this.#set(true);
    for (let rest = ""; ;) {
      const { done, value } = await reader.read();
      if (done) return;
      const blocks = (rest + value).split("\n\n");
      rest = blocks.pop();
      for (const block of blocks) this.#tell(block);
    }
  }

  #tell(block) {
    const data = block.match(/^event: changes\ndata: (.*)$/);
    if (data) this.dispatchEvent(new CustomEvent("changes", { detail: JSON.parse(data[1]) }));
  }

  #set(connected) {
    if (this.connected !== connected) {
      this.connected = connected;
      this.dispatchEvent(new CustomEvent("connection"));
    }
  }
}
