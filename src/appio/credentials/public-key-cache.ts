import { type PublicKey, parsePublicKey } from "./public-key.ts";

/** Remembers parsed keys, the most recently used of them. It remembers no verdict. */
export class PublicKeyCache {
  readonly #keys = new Map<string, PublicKey>();
  readonly #capacity: number;

  /** @param capacity How many keys are remembered. Default: 1024, a few megabytes. */
  constructor(capacity = 1_024) {
    this.#capacity = capacity;
  }

  /** How many keys are remembered. */
  get size(): number {
    return this.#keys.size;
  }

  /** Reads a key as {@link parsePublicKey} does; what cannot be read is not remembered. */
  parse(pem: Uint8Array): PublicKey | undefined {
    // A copy of at most the bytes that arrived in a header.
    const name = Buffer.from(pem).toString("latin1");
    const key = this.#keys.get(name) ?? parsePublicKey(pem);
    if (key === undefined) {
      return undefined;
    }
    // A Map keeps the order of insertion: what is used moves to its end.
    this.#keys.delete(name);
    this.#keys.set(name, key);
    for (const oldest of this.#keys.keys()) {
      if (this.#keys.size <= this.#capacity) {
        break;
      }
      this.#keys.delete(oldest);
    }
    return key;
  }
}
