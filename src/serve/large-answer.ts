import type { Writable } from "node:stream";
import { Waiting } from "./body-clock.ts";
import type { Connection } from "./connection.ts";
import type { UnsentAnswer, UnsentAnswers } from "./unsent-answers.ts";

/** The first piece of an answer, and every one to a slow peer, in bytes. */
const leastPieceBytes = 64 * 1024;

/** The largest piece, in bytes. */
const mostPieceBytes = 1024 * 1024;

/** By how much the pieces grow. */
const growth = 4;

/** A peer that takes a piece in this share of the time that it has gets larger ones. */
const fastShare = 1 / 16;

const noBytes = new Uint8Array(0);

/** Where an answer goes. */
export interface AnswerPlace {
  readonly connection: Connection;
  /** What takes the body. */
  readonly writable: Writable;
  /** Where large answers are counted. */
  readonly answers: UnsentAnswers;
  /** Whether nothing of ours keeps the body waiting: only then can its peer be late. */
  isDue(): boolean;
  /** Breaks the answer off. */
  breakOff(): void;
}

/** How a large answer is handed over. */
export interface LargeAnswerOptions {
  /** As how many bytes it is counted. */
  readonly bytes: number;
  /** Whether it is broken off if its peer takes nothing of it for too long. */
  readonly isTimed: boolean;
  /** Whether nothing comes after it. */
  readonly isLast: boolean;
  /** Called once, when it is taken or given up. */
  readonly onDone?: () => void;
}

/**
 * A large answer, or a message of one, which is counted from the beginning until
 * its peer has taken it or {@link LargeAnswer.release} is called. It is handed
 * over in pieces, because of one large write Node does not say how far it got:
 * small ones at first and to the slow, so that whoever takes anything is not late,
 * and larger ones to the fast, to whom they cost nothing that can be measured.
 */
export class LargeAnswer extends Waiting implements UnsentAnswer {
  readonly connection: Connection;
  readonly bytes: number;
  readonly #place: AnswerPlace;
  readonly #options: LargeAnswerOptions;
  #body: Uint8Array;
  #at = 0;
  #pieceBytes = leastPieceBytes;
  #handedOverAt = 0;
  #isDone = false;

  /** @param body - nobody may write to it any more. */
  constructor(place: AnswerPlace, body: Uint8Array, options: LargeAnswerOptions) {
    super();
    this.connection = place.connection;
    this.bytes = options.bytes;
    this.#place = place;
    this.#options = options;
    this.#body = body;
    place.answers.add(this);
  }

  /** Begins to hand it over. */
  send(): void {
    if (!this.#isDone) {
      this.#sendPiece();
    }
  }

  /** Counts it no more, and lets go of it. May be called again. */
  release(): void {
    if (this.#isDone) {
      return;
    }
    this.#isDone = true;
    this.#body = noBytes;
    const { answers } = this.#place;
    answers.release(this);
    answers.clock.stop(this);
    this.#options.onDone?.();
  }

  onLate(): void {
    if (this.#place.isDue()) {
      this.release();
      this.#place.breakOff();
    } else {
      this.#place.answers.clock.start(this);
    }
  }

  #sendPiece(): void {
    const { writable, answers } = this.#place;
    const { isTimed, isLast } = this.#options;
    const end = this.#at + this.#pieceBytes;
    const piece = this.#body.subarray(this.#at, end);
    this.#at = end;
    this.#handedOverAt = performance.now();
    if (isTimed) {
      answers.clock.start(this);
    }
    if (isLast && end >= this.#body.length) {
      writable.end(piece, this.#onTaken);
    } else {
      writable.write(piece, this.#onTaken);
    }
  }

  readonly #onTaken = (error?: Error | null): void => {
    if (this.#isDone) {
      return;
    }
    if (
      error instanceof Error ||
      this.#at >= this.#body.length ||
      this.#place.writable.writableEnded
    ) {
      this.release();
      return;
    }
    const { clock } = this.#place.answers;
    const isFast = performance.now() - this.#handedOverAt < clock.timeoutMs * fastShare;
    this.#pieceBytes = isFast
      ? Math.min(this.#pieceBytes * growth, mostPieceBytes)
      : leastPieceBytes;
    this.#sendPiece();
  };
}
