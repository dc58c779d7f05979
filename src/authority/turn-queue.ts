/** Lets one user in at a time, in the order of their coming. */
export interface TurnQueue {
  /** Resolves when it is the caller's turn. Each turn must end with one {@link TurnQueue.leave}. */
  enter(): Promise<void>;
  /** Ends the turn and starts the next one. */
  leave(): void;
}

/** Creates a {@link TurnQueue} that nobody is in. */
export function createTurnQueue(): TurnQueue {
  const waiting: (() => void)[] = [];
  let taken = false;
  return {
    enter() {
      if (!taken) {
        taken = true;
        return Promise.resolve();
      }
      return new Promise((resolve) => waiting.push(resolve));
    },
    leave() {
      const next = waiting.shift();
      if (next === undefined) {
        taken = false;
      } else {
        next();
      }
    },
  };
}
