import type { Sleep } from "./sleep.ts";

/** The longest wait of a host's timer, in milliseconds; a longer one would be over at once. */
const maxTimerMs = 2 ** 31 - 1;

/**
 * Waits for an instant, which may be infinitely far.
 *
 * @param instantMs On the clock of `now`, in milliseconds.
 * @param signal Ends the wait early; the promise then resolves.
 */
export async function sleepUntil(
  instantMs: number,
  signal: AbortSignal,
  { now, sleep }: { readonly now: () => number; readonly sleep: Sleep },
): Promise<void> {
  for (let left = instantMs - now(); left > 0 && !signal.aborted; left = instantMs - now()) {
    await sleep(Math.min(left, maxTimerMs), signal);
  }
}
