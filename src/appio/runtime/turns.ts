/** Does a piece of work when its turn comes; see {@link createTurns}. */
export type InTurn = <T>(rank: number, work: () => Promise<T>) => Promise<T>;

interface Waiting {
  readonly rank: number;
  readonly begin: () => void;
}

/**
 * Lets a few pieces of work go on at a time. Of those that wait, the one of the
 * lowest rank is next; among equals, the one that has waited longest.
 */
export function createTurns(limit: number): InTurn {
  /** The next one is the last. */
  const waiting: Waiting[] = [];
  let free = limit;

  function queue(rank: number): Promise<void> {
    return new Promise((begin) => {
      let low = 0;
      let high = waiting.length;
      while (low < high) {
        const middle = (low + high) >> 1;
        if ((waiting[middle]?.rank ?? 0) > rank) {
          low = middle + 1;
        } else {
          high = middle;
        }
      }
      waiting.splice(low, 0, { rank, begin });
    });
  }

  return async (rank, work) => {
    if (free > 0) {
      free -= 1;
    } else {
      await queue(rank);
    }
    try {
      return await work();
    } finally {
      const next = waiting.pop();
      if (next === undefined) {
        free += 1;
      } else {
        next.begin();
      }
    }
  };
}
