import type { Readable } from "node:stream";
import { Code, ConnectError } from "@connectrpc/connect";
import type { BodyLimit } from "./exchange.ts";

/**
 * Iterates over the body of a request. Stopping early leaves the stream open:
 * destroying it, as iterating over a stream does, would take the answer along.
 *
 * @param isCutOff - asked at the end of the stream, whether the body is incomplete.
 * node:http2 ends a body alike that the peer broke off in the middle.
 */
export async function* readBody(
  readable: Readable,
  limit: BodyLimit | undefined,
  isCutOff: () => boolean,
): AsyncGenerator<Uint8Array, void, undefined> {
  const chunks = readable.iterator({ destroyOnReturn: false });
  const wait = limit === undefined ? undefined : new BodyClock(limit);
  for (;;) {
    const pending = chunks.next();
    const next = await (wait === undefined ? pending : wait.race(pending));
    if (next.done === true) {
      break;
    }
    yield next.value;
  }
  if (isCutOff()) {
    throw new ConnectError("the request was cut off", Code.Canceled);
  }
}

class BodyClock {
  readonly #limit: BodyLimit;
  readonly #startedAt = performance.now();

  constructor(limit: BodyLimit) {
    this.#limit = limit;
  }

  /** Settles like the promise, but rejects when the time is over. */
  race<T>(pending: Promise<T>): Promise<T> {
    const spentMs = this.#limit.isTotal ? performance.now() - this.#startedAt : 0;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new ConnectError("the request did not arrive in time", Code.DeadlineExceeded)),
        Math.max(0, this.#limit.timeoutMs - spentMs),
      );
      pending.then(resolve, reject).finally(() => clearTimeout(timer));
    });
  }
}
