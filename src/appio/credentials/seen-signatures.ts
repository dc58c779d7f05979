/** What became of a signature that was shown to {@link SeenSignatures}. */
export type Sighting = "new" | "seen" | "full";

/** Remembers the signatures of a key for as long as they could be accepted again. */
export class SeenSignatures {
  /** Identity of a signature -> when it may be forgotten, in order of arrival. */
  readonly #forgetAt = new Map<string, number>();
  readonly #lifetimeMs: number;
  readonly #capacity: number;

  /**
   * @param lifetimeMs How long a signature is remembered.
   * @param capacity How many are remembered. Beyond it new ones are not
   * accepted: forgetting one that is still fresh would let it in again.
   */
  constructor(lifetimeMs: number, capacity: number) {
    this.#lifetimeMs = lifetimeMs;
    this.#capacity = capacity;
  }

  /** How many signatures are remembered. */
  get size(): number {
    return this.#forgetAt.size;
  }

  /** Remembers a signature, unless it is remembered already or there is no room. */
  add(identity: string, now: number): Sighting {
    for (const [oldest, forgetAt] of this.#forgetAt) {
      if (forgetAt > now) {
        break;
      }
      this.#forgetAt.delete(oldest);
    }
    if (this.#forgetAt.has(identity)) {
      return "seen";
    }
    if (this.#forgetAt.size >= this.#capacity) {
      return "full";
    }
    this.#forgetAt.set(identity, now + this.#lifetimeMs);
    return "new";
  }
}
