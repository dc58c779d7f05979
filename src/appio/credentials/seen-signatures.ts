/** What became of a signature that was shown to {@link SeenSignatures}. */
export type Sighting = "new" | "seen" | "full" | "forgotten";

/** Signatures of about the same time, which are forgotten together. */
interface Batch {
  /** When the latest of them was made. */
  latest: number;
  readonly identities: Set<string>;
}

/** Into about how many batches the signatures are divided that could still be accepted. */
const batchesPerLifetime = 32;

/**
 * Remembers the signatures of a key for as long as they could be accepted again.
 * Clocks step, and a signature that was stale and forgotten may look fresh once
 * more: so it also remembers how far it has forgotten, and accepts nothing from
 * before. Where the clock goes back by more than a lifetime, calls are refused
 * until it is where it was a lifetime before.
 */
export class SeenSignatures {
  /** By the time at which they were made, in units of a batch. */
  readonly #batches = new Map<number, Batch>();
  readonly #lifetimeMs: number;
  readonly #capacity: number;
  #size = 0;
  /** When the latest of the signatures was made that are forgotten. */
  #forgottenUntil = Number.NEGATIVE_INFINITY;

  /**
   * @param lifetimeMs How long after it was made a signature is accepted.
   * @param capacity How many are remembered. Beyond it new ones are not
   * accepted: forgetting one that is still fresh would let it in again.
   */
  constructor(lifetimeMs: number, capacity: number) {
    this.#lifetimeMs = lifetimeMs;
    this.#capacity = capacity;
  }

  /** How many signatures are remembered. */
  get size(): number {
    return this.#size;
  }

  /**
   * Remembers a signature, unless it is remembered already, there is no room, or
   * it is as old as one that is forgotten.
   *
   * @param instant When it was made, as it says itself: the same each time it is
   * shown. In milliseconds since the epoch, as `now`.
   */
  add(identity: string, instant: number, now: number): Sighting {
    const key = Math.floor((instant / this.#lifetimeMs) * batchesPerLifetime);
    if (this.#batches.get(key)?.identities.has(identity)) {
      return "seen";
    }
    this.#forget(now);
    if (instant <= this.#forgottenUntil) {
      return "forgotten";
    }
    if (this.#size >= this.#capacity) {
      return "full";
    }
    const batch = this.#batches.get(key) ?? { latest: instant, identities: new Set() };
    batch.latest = Math.max(batch.latest, instant);
    batch.identities.add(identity);
    this.#batches.set(key, batch);
    this.#size += 1;
    return "new";
  }

  /** Forgets what is stale: all batches are looked at, since clocks put them in any order. */
  #forget(now: number): void {
    for (const [key, { latest, identities }] of this.#batches) {
      if (latest + this.#lifetimeMs <= now) {
        this.#batches.delete(key);
        this.#size -= identities.size;
        this.#forgottenUntil = Math.max(this.#forgottenUntil, latest);
      }
    }
  }
}
