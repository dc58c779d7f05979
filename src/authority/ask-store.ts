import { type StoreUnavailable, storeUnavailable } from "../policy/verifier.ts";
import { SqlError } from "./sql-error.ts";

/** How to ask a store. */
export interface AskStoreOptions {
  /** How long to go on asking, in milliseconds. */
  readonly timeoutMs: number;
  /** Tells from an error that the store is out of reach, and may be back soon. Default: {@link isOutage}. */
  readonly isOutage?: (error: unknown) => boolean;
}

/** What a verifier may take of the time that the guard gives it: the rest is for its answer to arrive. */
const shareOfTime = 0.5;

const firstPauseMs = 25;
const longestPauseMs = 400;

/** Tells whether a database has failed in a way that passes. */
export function isOutage(error: unknown): boolean {
  return error instanceof SqlError && error.reason === "unavailable";
}

/** How long a verifier may go on asking, when the guard waits for its answer for `timeoutMs`. */
export function askingTimeMs(timeoutMs: number): number {
  return timeoutMs * shareOfTime;
}

/**
 * Asks a store, again and again while it is out of reach: a connection may have
 * gone since it was last used, or the server be starting anew, and neither must
 * cost an app its run.
 *
 * @returns the answer, or that the store is unavailable, when the time is over.
 * @throws what `ask` throws, if that is no outage.
 */
export function askStore<T>(
  ask: () => Promise<T>,
  options: AskStoreOptions,
): Promise<T | StoreUnavailable> {
  const { timeoutMs, isOutage: isPassing = isOutage } = options;
  return new Promise((resolve, reject) => {
    let cause: unknown;
    let isOver = false;
    let pause: NodeJS.Timeout | undefined;
    const end = setTimeout(() => {
      clearTimeout(pause);
      cause ??= new Error(`the store has not answered within ${timeoutMs} ms`);
      isOver = true;
      resolve(storeUnavailable(cause));
    }, timeoutMs);

    function attempt(pauseMs: number): void {
      ask().then(
        (answer) => {
          clearTimeout(end);
          resolve(answer);
        },
        (error: unknown) => {
          if (!isPassing(error)) {
            clearTimeout(end);
            reject(error);
          } else if (!isOver) {
            cause = error;
            // Those that failed at one instant do not all come back at another.
            const waitMs = pauseMs * (0.5 + Math.random());
            pause = setTimeout(attempt, waitMs, Math.min(pauseMs * 2, longestPauseMs));
          }
        },
      );
    }
    attempt(firstPauseMs);
  });
}
