/* Requests to the study's server. What does not get through is sent again until it does. */

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 8000;
const TIMEOUT_MS = 30000;

/** The server's answer is no: trying again would not help. */
export class Refused extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

/** The server did not answer, or could not. */
class Unreachable extends Error {
  constructor(wait_ms = 0) {
    super("The server cannot be reached.");
    this.wait_ms = wait_ms;
  }
}

export class Api {
  #base;
  #waiting = new Set(); // what ends the waits of requests that are to be sent again
  #failing = 0;

  /** onTrouble(true) when a request has to be sent again, onTrouble(false) when all have got through. */
  constructor(base, onTrouble) {
    this.#base = base;
    this.onTrouble = onTrouble;
    addEventListener("online", () => this.tryNow());
  }

  /** Where the rater is. */
  state() {
    return this.#persist(() => this.#json("/state", {}));
  }

  /** Change where the rater is. What is sent must be such that it may arrive twice without harm. */
  post(path, body) {
    const headers = { "Content-Type": "application/json", "X-Study": "1" };
    return this.#persist(() => this.#json(path, { method: "POST", headers, body: JSON.stringify(body) }));
  }

  /** A picture's file. */
  picture(url, signal) {
    return this.#persist(() => this.#request(url, {}, (response) => response.blob(), signal), signal);
  }

  /** Do not wait any longer before the next try. */
  tryNow() {
    for (const go of this.#waiting) go();
  }

  #json(path, options) {
    return this.#request(this.#base + path, options, (response) => response.json());
  }

  async #persist(send, signal) {
    let wait_ms = FIRST_WAIT_MS;
    let counted = false;
    try {
      for (;;) {
        try {
          return await send();
        } catch (error) {
          if (!(error instanceof Unreachable) || signal?.aborted) throw error;
          if (!counted) this.#count(1);
          counted = true;
          await this.#pause(Math.max(wait_ms, error.wait_ms));
          wait_ms = Math.min(2 * wait_ms, LONGEST_WAIT_MS);
        }
      }
    } finally {
      if (counted) this.#count(-1);
    }
  }

  #count(change) {
    this.#failing += change;
    this.onTrouble(this.#failing > 0);
  }

  async #pause(wait_ms) {
    let go;
    const woken = new Promise((resolve) => (go = resolve));
    this.#waiting.add(go);
    setTimeout(go, wait_ms);
    await woken;
    this.#waiting.delete(go);
  }

  /** One try. The time limit holds until the whole answer is there. */
  async #request(url, options, read, signal) {
    const stop = new AbortController();
    signal?.addEventListener("abort", () => stop.abort());
    const limit = setTimeout(() => stop.abort(), TIMEOUT_MS);
    try {
      const response = await fetch(url, { ...options, signal: stop.signal, cache: "no-store" });
      if (response.ok) return await read(response);
      throw await failure(response);
    } catch (error) {
      throw error instanceof Refused || error instanceof Unreachable ? error : new Unreachable();
    } finally {
      clearTimeout(limit);
    }
  }
}

/** What an answer other than yes means. */
async function failure(response) {
  const { status, headers } = response;
  if (status >= 500 || status === 408) return new Unreachable();
  if (status === 429) return new Unreachable(1000 * Number(headers.get("Retry-After") || 1));
  const said = await response.json().catch(() => ({}));
  return new Refused(typeof said.error === "string" ? said.error : `The server said ${status}.`, status);
}

/** A name for one action, so that the server counts it once however often it arrives. */
export function newKey() {
  if (crypto.randomUUID) return crypto.randomUUID(); // only where the page came over HTTPS or from this machine
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
