import { createDeadlineSignal, createLinkedAbortController } from "@connectrpc/connect/protocol";
import type { Exchange } from "./exchange.ts";

/** The longest time that a timer of Node can wait, in milliseconds (about 24 days). */
const longestTimeoutMs = 0x7fffffff;

/**
 * The end of a call, as a signal that is made when it is asked for: the
 * caller goes away, its deadline passes, the server shuts down, or the call is done.
 */
export class CallSignal {
  readonly #exchange: Exchange;
  readonly #shutdown: AbortSignal;
  readonly #deadlineAt: number | undefined;
  #controller: AbortController | undefined;
  #cancelDeadline: (() => void) | undefined;
  #end: { readonly reason: unknown } | undefined;

  /** @param timeoutMs - time until the deadline; undefined is none. */
  constructor(exchange: Exchange, shutdown: AbortSignal, timeoutMs: number | undefined) {
    this.#exchange = exchange;
    this.#shutdown = shutdown;
    this.#deadlineAt = timeoutMs === undefined ? undefined : Math.trunc(Date.now() + timeoutMs);
  }

  /** Time until the deadline in milliseconds, which is negative afterwards; undefined if there is none. */
  get timeoutMs(): number | undefined {
    return this.#deadlineAt === undefined ? undefined : this.#deadlineAt - Date.now();
  }

  /** The signal. */
  get signal(): AbortSignal {
    this.#controller ??= this.#makeController();
    return this.#controller.signal;
  }

  /** Aborts the signal: the call is done. */
  end(reason: unknown): void {
    this.#end = { reason };
    this.#cancelDeadline?.();
    this.#controller?.abort(reason);
  }

  #makeController(): AbortController {
    if (this.#end !== undefined) {
      const controller = new AbortController();
      controller.abort(this.#end.reason);
      return controller;
    }
    const { timeoutMs } = this;
    const waitMs = timeoutMs === undefined ? undefined : Math.min(timeoutMs, longestTimeoutMs);
    const deadline = createDeadlineSignal(waitMs);
    this.#cancelDeadline = deadline.cleanup;
    return createLinkedAbortController(deadline.signal, this.#exchange.signal, this.#shutdown);
  }
}
