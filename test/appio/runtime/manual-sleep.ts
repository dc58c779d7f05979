import type { Sleep } from "../../../src/appio/runtime/sleep.ts";

/** A wait that a loop under test is in. */
export interface Wait {
  readonly ms: number;
  /** Ends it, as if the time were over. */
  end(): void;
}

/** A source of waits that end when the test says so: no test waits, none depends on the clock. */
export function manualSleep() {
  const begun: Wait[] = [];
  const readers: ((wait: Wait) => void)[] = [];
  const sleep: Sleep = (ms, signal) =>
    new Promise((resolve) => {
      signal?.addEventListener("abort", () => resolve(), { once: true });
      if (signal?.aborted) {
        resolve();
        return;
      }
      const wait = { ms, end: () => resolve() };
      const reader = readers.shift();
      if (reader === undefined) begun.push(wait);
      else reader(wait);
    });
  /** The next wait, in the order in which they begin; resolves when it has begun. */
  const next = () =>
    new Promise<Wait>((resolve) => {
      const wait = begun.shift();
      if (wait === undefined) readers.push(resolve);
      else resolve(wait);
    });
  return { sleep, next };
}
