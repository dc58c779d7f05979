import type { BodyClock } from "./body-clock.ts";
import type { Connection } from "./connection.ts";

/**
 * Answers up to this size are not counted, in bytes: their number is bounded, as
 * they belong to open requests, and small calls pay nothing.
 */
export const uncountedBytes = 16 * 1024;

/** An answer, or a message of one, that is in memory until its peer takes it. */
export interface UnsentAnswer {
  /** Where its peer is. */
  readonly connection: Connection;
  /** Its size, in bytes. */
  readonly bytes: number;
}

/**
 * Bounds the bytes of large answers that were handed to their connections and
 * that their peers have not taken, of all calls together, but for the largest of
 * them: a lone answer may be as large as it likes.
 *
 * When there is no room, the connection gives way that holds most. If it is the
 * newcomer's own, the newcomer is refused: it has not begun, so it can be told
 * Unavailable, and it costs nobody else anything when many honest callers come at
 * once. Else that connection is closed. To reset its calls would not do: for a peer that
 * reads nothing from its socket Node keeps all that was to be sent, with the
 * reset behind it, until the connection is gone.
 */
export class UnsentAnswers {
  /** Breaks off what is not taken. */
  readonly clock: BodyClock;
  readonly #maxBytes: number;
  readonly #held = new Set<UnsentAnswer>();
  #heldBytes = 0;

  /** @param maxBytes - the bytes that they may hold together, without the largest. */
  constructor(maxBytes: number, clock: BodyClock) {
    this.#maxBytes = maxBytes;
    this.clock = clock;
  }

  /** Bytes that are held, the largest answer included. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** Whether an answer may be handed over. May close other connections to make room. */
  hasRoom(connection: Connection, bytes: number): boolean {
    return this.#heldBytes + bytes <= this.#maxBytes || this.#makeRoom(connection, bytes);
  }

  /** Counts an answer, once. */
  add(answer: UnsentAnswer): void {
    if (!this.#held.has(answer)) {
      this.#held.add(answer);
      this.#heldBytes += answer.bytes;
    }
  }

  /** Counts an answer no more. Does nothing if it is not counted. */
  release(answer: UnsentAnswer): void {
    if (this.#held.delete(answer)) {
      this.#heldBytes -= answer.bytes;
    }
  }

  #makeRoom(connection: Connection, bytes: number): boolean {
    let largestBytes = bytes;
    const heldBytesOf = new Map<Connection, number>([[connection, bytes]]);
    for (const answer of this.#held) {
      largestBytes = Math.max(largestBytes, answer.bytes);
      const heldBytes = heldBytesOf.get(answer.connection) ?? 0;
      heldBytesOf.set(answer.connection, heldBytes + answer.bytes);
    }
    if (this.#heldBytes + bytes - largestBytes <= this.#maxBytes) {
      return true;
    }
    let most = connection;
    let mostBytes = heldBytesOf.get(connection) ?? 0;
    for (const [other, heldBytes] of heldBytesOf) {
      if (heldBytes > mostBytes) {
        most = other;
        mostBytes = heldBytes;
      }
    }
    if (most === connection) {
      return false;
    }
    // One is enough: it holds more than is added, and what was held was within the bound.
    for (const answer of this.#held) {
      if (answer.connection === most) {
        this.release(answer);
      }
    }
    most.destroy();
    return true;
  }
}
