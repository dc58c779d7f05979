import type { Sleep } from "../../../src/appio/runtime/sleep.ts";

interface Pending {
  readonly at: number;
  readonly end: () => void;
}

/**
 * A clock of the test's own, with the waits on it. Time stands still until
 * {@link until} runs it: then it jumps from the end of one wait to the next.
 */
export function virtualTime() {
  let time = 0;
  const pending = new Set<Pending>();
  /** Length of every wait that was begun, in order. */
  const waits: number[] = [];

  const sleep: Sleep = (ms, signal) =>
    new Promise((resolve) => {
      waits.push(ms);
      const wait = {
        at: time + ms,
        end() {
          pending.delete(wait);
          resolve();
        },
      };
      pending.add(wait);
      signal?.addEventListener("abort", wait.end, { once: true });
      if (signal?.aborted) {
        wait.end();
      }
    });

  /** Lets time pass until the promise settles; that of promises, not of I/O. */
  async function until<T>(promise: Promise<T>): Promise<T> {
    let isSettled = false;
    const settle = () => {
      isSettled = true;
    };
    promise.then(settle, settle);
    for (;;) {
      await new Promise((resolve) => setImmediate(resolve));
      if (isSettled) {
        return promise;
      }
      const next = Array.from(pending).sort((a, b) => a.at - b.at)[0];
      if (next === undefined) {
        throw new Error("nothing is pending: this would wait for ever");
      }
      time = next.at;
      next.end();
    }
  }

  return { now: () => time, sleep, until, waits, pending: () => pending.size };
}
