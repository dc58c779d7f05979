import { Code, ConnectError } from "@connectrpc/connect";
import { authenticationFailed } from "./refusal.ts";

/** What a watch needs to know of a stream. */
export interface StreamWatchOptions {
  /** The call's signal. */
  readonly signal: AbortSignal;
  /** How often to verify again, in ms. */
  readonly everyMs: number;
  /** Verifies the call's credential again; rejects to end the stream. */
  readonly readmit: (call: { readonly signal: AbortSignal }) => Promise<void>;
  /** Whether there is a credential to verify again. */
  readonly isProtected: boolean;
}

/**
 * Ends a stream from outside: when a message claims what the caller did not
 * prove, or the credential is refused later on. The end does not depend on the
 * handler, which may have swallowed the error.
 */
export class StreamWatch {
  /** Aborted when the call ends, or the watch ends it. */
  readonly signal: AbortSignal;
  readonly #options: StreamWatchOptions;
  readonly #controller = new AbortController();
  readonly #waiting = new Set<(reason: unknown) => void>();
  #failure: { readonly reason: unknown } | undefined;
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor(options: StreamWatchOptions) {
    this.#options = options;
    this.signal = this.#controller.signal;
    if (options.signal.aborted) {
      this.#controller.abort(options.signal.reason);
      return;
    }
    options.signal.addEventListener("abort", () => this.#stop(options.signal.reason), {
      once: true,
    });
    if (options.isProtected) {
      this.#schedule();
    }
  }

  /** Settles as the given promise does, or rejects when the watch ends the stream before that. */
  race<T>(work: Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (this.#failure !== undefined) {
        work.catch(() => undefined);
        reject(this.#failure.reason);
        return;
      }
      // Not Promise.race against one long promise: each race would stay
      // referenced by it until the stream ends.
      this.#waiting.add(reject);
      work.then(
        (value) => {
          this.#waiting.delete(reject);
          if (this.#failure === undefined) {
            resolve(value);
          } else {
            reject(this.#failure.reason);
          }
        },
        (reason: unknown) => {
          this.#waiting.delete(reject);
          reject(this.#failure?.reason ?? reason);
        },
      );
    });
  }

  /**
   * The request's messages, each checked before the handler sees it. Whatever
   * ends the call early throws here too: a handler must not take what has come
   * so far for all there is.
   */
  async *inbound<T>(
    messages: AsyncIterable<T>,
    check: (message: T) => void | Promise<void>,
  ): AsyncIterable<T> {
    const iterator = messages[Symbol.asyncIterator]();
    try {
      for (;;) {
        const result = await this.#untilEnd(iterator.next());
        if (result.done === true) {
          return;
        }
        try {
          await check(result.value);
        } catch (reason) {
          this.#fail(reason);
          throw reason;
        }
        yield result.value;
      }
    } finally {
      // May be stuck in the read that is given up: its end is not waited for.
      iterator.return?.().catch(() => undefined);
    }
  }

  /** Settles as the work does, or rejects as soon as the call is over. */
  #untilEnd<T>(work: Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const { signal } = this;
      const end = () =>
        reject(this.#failure?.reason ?? ConnectError.from(signal.reason, Code.Canceled));
      const settle = (then: () => void) => {
        signal.removeEventListener("abort", end);
        if (signal.aborted) {
          end();
        } else {
          then();
        }
      };
      signal.addEventListener("abort", end, { once: true });
      work.then(
        (value) => settle(() => resolve(value)),
        (reason: unknown) => settle(() => reject(reason)),
      );
    });
  }

  /** The response's messages, until the watch ends the stream. */
  outbound<T>(messages: AsyncIterable<T>): AsyncIterable<T> {
    const watch = this;
    return {
      [Symbol.asyncIterator]() {
        const iterator = messages[Symbol.asyncIterator]();
        return {
          async next() {
            try {
              const result = await watch.race(iterator.next());
              if (result.done === true) {
                watch.#stop(undefined);
              }
              return result;
            } catch (reason) {
              watch.#stop(reason);
              // The handler may be stuck for good: its end is not waited for.
              iterator.return?.().catch(() => undefined);
              throw reason;
            }
          },
          async throw(reason: unknown) {
            watch.#stop(reason);
            return iterator.throw === undefined ? Promise.reject(reason) : iterator.throw(reason);
          },
          async return(value?: unknown) {
            watch.#stop(undefined);
            return iterator.return === undefined ? { done: true, value } : iterator.return(value);
          },
        };
      },
    };
  }

  #schedule(): void {
    let isPending = false;
    this.#timer = setInterval(() => {
      if (isPending) {
        // The last verification has not come back in time.
        this.#fail(authenticationFailed());
        return;
      }
      isPending = true;
      this.#options.readmit(this).then(
        () => {
          isPending = false;
        },
        (reason: unknown) => {
          if (!this.signal.aborted) {
            this.#fail(reason);
          }
        },
      );
    }, this.#options.everyMs);
    letProcessEnd(this.#timer);
  }

  #fail(reason: unknown): void {
    this.#failure ??= { reason };
    for (const reject of this.#waiting) {
      reject(this.#failure.reason);
    }
    this.#waiting.clear();
    this.#stop(reason);
  }

  #stop(reason: unknown): void {
    clearInterval(this.#timer);
    this.#controller.abort(reason);
  }
}

/** A stream is kept alive by its socket, not by its watch. Timers of browsers are numbers. */
function letProcessEnd(timer: unknown): void {
  if (typeof timer === "object" && timer !== null && "unref" in timer) {
    const { unref } = timer;
    if (typeof unref === "function") {
      unref.call(timer);
    }
  }
}
