/** What reads a body, and can be told to wait. */
export interface BudgetedReader {
  /** The reader may go on. May count what it is going to take in. */
  onGranted(): void;
}

/** What a reader that may go on takes in beside what it has counted, before it is looked at again, in bytes. */
const grantBytes = 64 * 1024;

/**
 * The bytes of request bodies that all calls together hold in memory. Beyond
 * the bound bodies are left in the network: whose is not complete waits, but for
 * the one that has begun first, so that there is always one that gets done.
 */
export class ByteBudget {
  readonly #maxBytes: number;
  #heldBytes = 0;
  /** Readers whose body is not complete, in the order in which they began, and whether they wait. */
  readonly #readers = new Map<BudgetedReader, boolean>();

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Bytes that are held. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  /**
   * Counts bytes that have arrived.
   *
   * @returns whether the reader may go on at once; it is told later otherwise.
   */
  take(reader: BudgetedReader, bytes: number): boolean {
    this.#heldBytes += bytes;
    if (!this.#readers.has(reader)) {
      this.#readers.set(reader, false);
    }
    if (this.#heldBytes <= this.#maxBytes || this.#isFirst(reader)) {
      return true;
    }
    this.#readers.set(reader, true);
    return false;
  }

  /** Counts bytes whose reader goes on whatever comes of it. */
  add(bytes: number): void {
    this.#heldBytes += bytes;
  }

  /** A reader reads no more: its body is complete, or given up. */
  done(reader: BudgetedReader): void {
    if (this.#readers.delete(reader)) {
      this.#wake();
    }
  }

  /** Gives bytes back that were counted. */
  release(bytes: number): void {
    this.#heldBytes -= bytes;
    if (this.#readers.size > 0) {
      this.#wake();
    }
  }

  #isFirst(reader: BudgetedReader): boolean {
    return this.#readers.keys().next().value === reader;
  }

  #wake(): void {
    let grantedBytes = 0;
    let isFirst = true;
    for (const [reader, isWaiting] of this.#readers) {
      if (!isFirst && this.#heldBytes + grantedBytes >= this.#maxBytes) {
        return;
      }
      isFirst = false;
      if (isWaiting) {
        grantedBytes += grantBytes;
        this.#readers.set(reader, false);
        reader.onGranted();
      }
    }
  }
}
