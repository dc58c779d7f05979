/** A message with its flags, as gRPC and gRPC-web frame it. */
export interface Envelope {
  readonly flags: number;
  readonly data: Uint8Array;
}

/** Bytes before each message: flags and length. */
export const prefixBytes = 5;

/** Memory for a message whose bytes are still to come. */
const leastCapacity = 64 * 1024;

/** How much more memory than has arrived its pieces may keep alive, in bytes. */
const slackBytes = 64 * 1024;

/** What a piece takes besides its bytes, in bytes. */
const viewBytes = 192;

/** How many times as much memory as has arrived a message of announced length gets at most. */
const growth = 4;

const nothing = new Uint8Array(0);

/**
 * Takes a body apart into messages as it arrives. Copies a message once, into
 * memory of its size, when enough of it has arrived; an announced length alone
 * takes none.
 */
export class EnvelopeReader {
  readonly #assertSize: (bytes: number) => void;
  readonly #prefix = new Uint8Array(prefixBytes);
  #prefixFilled = 0;
  #length = 0;
  #data = nothing;
  #filled = 0;
  /** What has arrived, until it is copied. */
  #pieces: Uint8Array[] = [];
  /** The memory that the pieces keep alive, in bytes. */
  #pinnedBytes = 0;

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
        this.#data = nothing;
        this.#filled = 0;
      }
      const taken = Math.min(this.#length - this.#filled, chunk.length - at);
      if (taken > 0) {
        this.#append(taken === chunk.length ? chunk : chunk.subarray(at, at + taken));
      }
      at += taken;
      if (this.#filled < this.#length) {
        return envelopes;
      }
      envelopes.push({ flags: this.#prefix[0] ?? 0, data: this.#data });
      this.#prefixFilled = 0;
      this.#data = nothing;
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
    if (this.#data.length === 0 && this.#mayKeep(bytes, needed)) {
      this.#pieces.push(bytes);
    } else {
      if (needed > this.#data.length) {
        this.#grow(needed);
      }
      this.#data.set(bytes, this.#filled);
    }
    this.#filled = needed;
  }

  /**
   * Whether a piece may stay where it is: while memory for the whole message
   * would be too much for what has arrived, and the pieces keep little more alive
   * than their bytes. A small one can hold the whole of what was read with it.
   */
  #mayKeep(bytes: Uint8Array, needed: number): boolean {
    if (needed * growth >= this.#length) {
      return false;
    }
    this.#pinnedBytes += viewBytes;
    if (this.#pieces.at(-1)?.buffer !== bytes.buffer) {
      this.#pinnedBytes += bytes.buffer.byteLength;
    }
    return this.#pinnedBytes <= 2 * needed + slackBytes;
  }

  #grow(needed: number): void {
    const capacity = Math.min(this.#length, Math.max(leastCapacity, needed * growth));
    // Not set to zero: a message is handed on when all of it has been written.
    const grown = new Uint8Array(Buffer.allocUnsafeSlow(capacity).buffer);
    grown.set(this.#data.subarray(0, this.#filled));
    let at = 0;
    for (const piece of this.#pieces) {
      grown.set(piece, at);
      at += piece.length;
    }
    this.#pieces = [];
    this.#pinnedBytes = 0;
    this.#data = grown;
  }
}

/** The length in a prefix at an offset. */
export function lengthIn(bytes: Uint8Array, at: number): number {
  return (
    (bytes[at + 1] ?? 0) * 0x1000000 +
    (((bytes[at + 2] ?? 0) << 16) | ((bytes[at + 3] ?? 0) << 8) | (bytes[at + 4] ?? 0))
  );
}
