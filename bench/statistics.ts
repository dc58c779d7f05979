/** The middle of a list of numbers, and its ends. */
export interface Spread {
  readonly median: number;
  readonly low: number;
  readonly high: number;
}

/**
 * Sums a list of numbers up.
 *
 * @throws RangeError if it is empty.
 */
export function spreadOf(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b);
  return {
    median: quantile(sorted, 0.5),
    low: quantile(sorted, 0),
    high: quantile(sorted, 1),
  };
}

/**
 * The value below which a share of a sorted list lies, between its neighbours where none is there.
 *
 * @throws RangeError if the list is empty.
 */
export function quantile(sorted: ArrayLike<number>, share: number): number {
  const position = (sorted.length - 1) * share;
  const below = sorted[Math.floor(position)];
  const above = sorted[Math.ceil(position)];
  if (below === undefined || above === undefined) throw new RangeError("there are no values");
  return below + (above - below) * (position - Math.floor(position));
}
