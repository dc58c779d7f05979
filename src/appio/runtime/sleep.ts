/**
 * Waits. Loops take it as an option: tests step through them without waiting,
 * and a browser tab in the background, whose own timers are throttled, can
 * keep the time in a Worker.
 *
 * @param ms how long, in milliseconds.
 * @param signal ends the wait early. The promise then resolves: a loop looks
 * at its signal anyway, and an interrupted wait is no failure.
 */
export type Sleep = (ms: number, signal?: AbortSignal) => Promise<void>;

/** {@link Sleep} by the host's own timer. */
export const sleep: Sleep = (ms, signal) =>
  new Promise((resolve) => {
    if (signal?.aborted) {
      resolve();
      return;
    }
    const end = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal?.addEventListener("abort", end, { once: true });
  });
