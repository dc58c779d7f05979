import type { Point } from "../app/line.ts";

/** The line that all measurements come from. */
export const trueLine = { slope: 2, intercept: 1 };

const count = 48;
const spread = 0.5;

/**
 * What this tab has measured: points near {@link trueLine}. They stand for data that must not leave the page. The same
 * seed gives the same points.
 *
 * @param seed an integer
 */
export function measure(seed: number): Point[] {
  const random = randomNumbers(seed);
  return Array.from({ length: count }, () => {
    const x = 3 * random();
    const noise = spread * (2 * random() - 1);
    return { x, y: trueLine.slope * x + trueLine.intercept + noise };
  });
}

/** Numbers from 0 to below 1, for drawing points only (mulberry32). */
function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
