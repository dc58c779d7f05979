import { Code, ConnectError } from "@connectrpc/connect";
import { type Sleep, sleep as sleepByTimer } from "./sleep.ts";

/**
 * The server refused a call because its run is not running: it was stopped, or
 * has ended. Not a failure of the app: it has to end, and nothing it sends is
 * accepted any more. (Flower: RunNotRunningException.)
 */
export class RunNotRunningError extends Error {
  override readonly name = "RunNotRunningError";
}

/** What {@link RetryOptions.onRetry} is told. */
export interface RetryEvent {
  /** Why the call failed. */
  readonly error: ConnectError;
  /** How many times it has been tried. */
  readonly tries: number;
  /** How long it waits before the next try, in milliseconds; longer where other calls wait too. */
  readonly waitMs: number;
}

/** Options of {@link createRetry}. */
export interface RetryOptions {
  /** After how many tries a call fails. Default: never. */
  readonly maxTries?: number | undefined;
  /** After how long a call fails, in milliseconds; a try under way is not cut off. Default: never. */
  readonly maxTimeMs?: number | undefined;
  /** Told before each wait. Default: nobody. */
  readonly onRetry?: ((event: RetryEvent) => void) | undefined;
  /** A clock for durations, in milliseconds. Default: `performance.now`. */
  readonly now?: (() => number) | undefined;
  /** How calls wait. Default: the host's timer. */
  readonly sleep?: Sleep | undefined;
  /** Where jitter comes from: at least 0, below 1. Default: `Math.random`. */
  readonly random?: (() => number) | undefined;
}

/** Repeats calls on one connection; see {@link createRetry}. */
export interface Retry {
  /**
   * Makes a call, again and again while the server is unavailable.
   *
   * @param attempt Makes the call once.
   * @param signal Ends the waiting between two tries.
   * @throws RunNotRunningError for PermissionDenied; any other error of
   * `attempt` as it is; the signal's reason when it is aborted.
   */
  call<T>(attempt: () => Promise<T>, signal?: AbortSignal): Promise<T>;
  /** Sets after how many tries calls fail, those under way included. */
  limitTries(maxTries: number): void;
}

const firstWaitMs = 1_000;
const longestWaitMs = 20_000;

/**
 * Makes what repeats the calls of one client, as Flower's retry invoker does
 * (contract 8.1): only `Unavailable` is tried again, unless TLS itself failed
 * ("handshake failed"). The waits are 1, 2, 4, 8, 16, 20, 20 ... seconds, each
 * times a random number from 0 to 1. While the connection is down, concurrent
 * calls wait one after the other, so that they do not all hammer a server that
 * comes back; as soon as one call succeeds the others no longer queue, but each
 * still sleeps out its own wait.
 *
 * @throws TypeError if `maxTries` is no positive integer.
 */
export function createRetry(options: RetryOptions = {}): Retry {
  const { maxTimeMs = Number.POSITIVE_INFINITY, onRetry, random = Math.random } = options;
  const { now = () => performance.now(), sleep = sleepByTimer } = options;
  const queue = createWaitQueue(now, sleep);
  let maxTries = options.maxTries === undefined ? Infinity : assertTries(options.maxTries);

  async function call<T>(attempt: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    const startedAt = now();
    for (let tries = 1; ; tries += 1) {
      signal?.throwIfAborted();
      const elapsedMs = now() - startedAt;
      try {
        const result = await attempt();
        queue.setHealthy(true);
        return result;
      } catch (cause) {
        const error = ConnectError.from(cause);
        if (error.code === Code.PermissionDenied) {
          throw new RunNotRunningError(error.rawMessage, { cause });
        }
        if (!isTemporary(error)) {
          throw cause;
        }
        queue.setHealthy(false);
        if (tries >= maxTries || elapsedMs >= maxTimeMs) {
          throw cause;
        }
        const longestMs = Math.min(firstWaitMs * 2 ** (tries - 1), longestWaitMs);
        const waitMs = Math.min(longestMs * random(), maxTimeMs - elapsedMs);
        onRetry?.({ error, tries, waitMs });
        await queue.wait(waitMs, signal);
      }
    }
  }

  return {
    call,
    limitTries(limit) {
      maxTries = assertTries(limit);
    },
  };
}

/** Whether the same call may succeed later. */
function isTemporary({ code, rawMessage }: ConnectError): boolean {
  return code === Code.Unavailable && !rawMessage.toLowerCase().includes("handshake failed");
}

function assertTries(maxTries: number): number {
  if (!Number.isInteger(maxTries) || maxTries < 1) {
    throw new TypeError(`"maxTries" must be a positive integer, not ${maxTries}`);
  }
  return maxTries;
}

/** Where calls wait: one at a time while the connection is down. */
function createWaitQueue(now: () => number, sleep: Sleep) {
  let isHealthy = true;
  let recovered = new AbortController();
  let lastInLine: Promise<void> = Promise.resolve();

  async function untilFirst(signal: AbortSignal | undefined): Promise<() => void> {
    let leave = () => {};
    const done = new Promise<void>((resolve) => {
      leave = resolve;
    });
    const before = lastInLine;
    // Whoever gives up early leaves only after those before it: the line stays whole.
    lastInLine = before.then(() => done);
    const listening = new AbortController();
    await Promise.race([before, aborted(signal, listening.signal)]);
    listening.abort();
    return leave;
  }

  return {
    setHealthy(healthy: boolean): void {
      if (healthy && !isHealthy) {
        recovered.abort();
      }
      if (!healthy && isHealthy) {
        recovered = new AbortController();
      }
      isHealthy = healthy;
    },

    async wait(waitMs: number, signal: AbortSignal | undefined): Promise<void> {
      const leave = await untilFirst(signal);
      const startedAt = now();
      const wake = recovered.signal;
      await sleep(waitMs, signal === undefined ? wake : AbortSignal.any([signal, wake]));
      leave();
      const remainingMs = waitMs - (now() - startedAt);
      if (remainingMs > 0 && !signal?.aborted) {
        await sleep(remainingMs, signal);
      }
    },
  };
}

/** Resolves when the signal is aborted; never without one. Listens until `listening` is aborted. */
function aborted(signal: AbortSignal | undefined, listening: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) {
      resolve();
    }
    signal?.addEventListener("abort", () => resolve(), { once: true, signal: listening });
  });
}
