/** A message with its flags, as gRPC and gRPC-web frame it. */
export interface Envelope {
  readonly flags: number;
  readonly data: Uint8Array;
}

/** Bytes before each message: flags and length. */
export const prefixBytes = 5;

/** Memory for a message whose bytes are still to come. */
const leastCapacity = 64 * 1024;

/** How many times as much memory as has arrived a message of announced length gets at most. */
const growth = 4;

/**
 * Takes a body apart into messages as it arrives. Copies what it keeps, once
 * into memory of the message's size; an announced length alone takes none.
 */
export class EnvelopeReader {
  readonly #assertSize: (bytes: number) => void;
  readonly #prefix = new Uint8Array(prefixBytes);
  #prefixFilled = 0;
  #length = 0;
  #data = new Uint8Array(0);
  #filled = 0;

  /** @param assertSize - called with each announced size; throws if it is too large. */
  constructor(assertSize: (bytes: number) => void) {
    this.#assertSize = assertSize;
  }

  /**
   * Returns the messages that a chunk completes.
   *
   * @throws what `assertSize` throws.
   */
  push(chunk: Uint8Array): Envelope[] {
    const envelopes: Envelope[] = [];
    let at = 0;
    for (;;) {
      if (this.#prefixFilled < prefixBytes) {
        const taken = Math.min(prefixBytes - this.#prefixFilled, chunk.length - at);
        this.#prefix.set(chunk.subarray(at, at + taken), this.#prefixFilled);
        this.#prefixFilled += taken;
        at += taken;
        if (this.#prefixFilled < prefixBytes) {
          return envelopes;
        }
        this.#length = lengthIn(this.#prefix, 0);
        this.#assertSize(this.#length);
        this.#data = new Uint8Array(0);
        this.#filled = 0;
      }
      const taken = Math.min(this.#length - this.#filled, chunk.length - at);
      this.#append(chunk.subarray(at, at + taken));
      at += taken;
      if (this.#filled < this.#length) {
        return envelopes;
      }
      envelopes.push({ flags: this.#prefix[0] ?? 0, data: this.#data });
      this.#prefixFilled = 0;
      this.#data = new Uint8Array(0);
      this.#filled = 0;
    }
  }

  /**
   * Whether bytes are left over that make no message. As for connect, a prefix
   * without a byte of its message is none.
   */
  get isIncomplete(): boolean {
    return this.#prefixFilled < prefixBytes ? this.#prefixFilled > 0 : this.#filled > 0;
  }

  #append(bytes: Uint8Array): void {
    const needed = this.#filled + bytes.length;
    if (needed > this.#data.length) {
      const capacity = Math.max(leastCapacity, needed, this.#filled * growth);
      const grown = new Uint8Array(Math.min(this.#length, capacity));
      grown.set(this.#data.subarray(0, this.#filled));
      this.#data = grown;
    }
    this.#data.set(bytes, this.#filled);
    this.#filled = needed;
  }
}

/** The length in a prefix at an offset. */
export function lengthIn(bytes: Uint8Array, at: number): number {
  return (
    (bytes[at + 1] ?? 0) * 0x1000000 +
    (((bytes[at + 2] ?? 0) << 16) | ((bytes[at + 3] ?? 0) << 8) | (bytes[at + 4] ?? 0))
  );
}
