// What the gateway says: asked for with `get`, and told by server-sent events.

const PATIENCE = 15_000;
const AGAIN = 3_000;

/** The gateway's refusal, in its own words; `status` is 0 where it did not answer at all. */
export class Refusal extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

/** The answer to a question. */
export async function get(path, signal) {
  const limit = AbortSignal.timeout(PATIENCE);
  let response;
  try {
    response = await fetch(path, { signal: signal ? AbortSignal.any([signal, limit]) : limit });
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

  start() {
    const source = new EventSource("/api/stream?events=changes");
    source.addEventListener("open", () => this.#set(true));
    source.addEventListener("error", () => {
      this.#set(false);
      // The browser comes back by itself, except where the answer was a refusal.
      if (source.readyState === EventSource.CLOSED) setTimeout(() => this.start(), AGAIN);
    });
    source.addEventListener("changes", (event) => {
      this.dispatchEvent(new CustomEvent("changes", { detail: JSON.parse(event.data) }));
    });
  }

  #set(connected) {
    if (this.connected !== connected) {
      this.connected = connected;
      this.dispatchEvent(new CustomEvent("connection"));
    }
  }
}
