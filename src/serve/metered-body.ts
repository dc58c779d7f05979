import { type Code, ConnectError } from "@connectrpc/connect";
import type { BudgetedReader, ByteBudget } from "./byte-budget.ts";
import { unavailable } from "./decoy.ts";
import { lengthIn, prefixBytes } from "./envelope-reader.ts";
import type { Exchange } from "./exchange.ts";
import { messageTooLarge } from "./message-size.ts";
import type { RequestShape } from "./request-shape.ts";

/** What a body is measured against. */
export interface MeteredBodyOptions {
  readonly exchange: Exchange;
  readonly body: AsyncIterable<Uint8Array>;
  readonly shape: RequestShape;
  /** Whether the messages are a stream, of which a handler takes one after the other. */
  readonly isStream: boolean;
  /** The largest message, in bytes. */
  readonly readMaxBytes: number;
  /** What answers a larger one. */
  readonly oversizeCode: Code;
  readonly budget: ByteBudget;
  /** How long to wait for the budget, in milliseconds. */
  readonly waitMs: number;
}

/**
 * Passes a body on to connect's handlers, which would answer a message that is
 * too large with a code of their own, and counts what they hold of it.
 *
 * @throws ConnectError if a message is too large, or the budget stays used up.
 */
export async function* meterBody(
  options: MeteredBodyOptions,
): AsyncGenerator<Uint8Array, void, undefined> {
  const meter = options.shape === "unary" ? unaryMeter(options) : new EnvelopeMeter(options);
  const reader = new MeteredReader(options);
  try {
    await reader.turn();
    for await (const chunk of options.body) {
      meter.push(chunk);
      reader.hasRead(chunk.length);
      yield chunk;
      if (options.isStream) {
        // Whoever asks for more has done with the messages that were complete.
        reader.keeps(meter.pendingBytes);
      }
      const turn = reader.turn();
      if (turn !== undefined) {
        await turn;
      }
    }
  } finally {
    reader.end();
  }
}

interface Meter {
  /** Bytes of a message that is not complete. */
  readonly pendingBytes: number;
  push(chunk: Uint8Array): void;
}

/** Measures a body that is one message as it is; one of undeclared size. The text is connect's. */
function unaryMeter({ readMaxBytes, oversizeCode }: MeteredBodyOptions): Meter {
  let pendingBytes = 0;
  return {
    get pendingBytes() {
      return pendingBytes;
    },
    push(chunk) {
      pendingBytes += chunk.length;
      if (pendingBytes > readMaxBytes) {
        throw new ConnectError(
          `message size is larger than configured readMaxBytes ${readMaxBytes}`,
          oversizeCode,
        );
      }
    },
  };
}

/** Measures messages by the lengths that their prefixes announce. */
class EnvelopeMeter implements Meter {
  readonly #options: MeteredBodyOptions;
  readonly #prefix = new Uint8Array(prefixBytes);
  #prefixFilled = 0;
  #left = 0;
  #taken = 0;

  constructor(options: MeteredBodyOptions) {
    this.#options = options;
  }

  get pendingBytes(): number {
    return this.#prefixFilled + this.#taken;
  }

  push(chunk: Uint8Array): void {
    const { readMaxBytes, oversizeCode } = this.#options;
    for (let at = 0; at < chunk.length; ) {
      if (this.#prefixFilled < prefixBytes) {
        this.#prefix[this.#prefixFilled++] = chunk[at++] ?? 0;
        if (this.#prefixFilled < prefixBytes) {
          continue;
        }
        this.#left = lengthIn(this.#prefix, 0);
        if (this.#left > readMaxBytes) {
          throw messageTooLarge(this.#left, readMaxBytes, oversizeCode);
        }
      }
      const passed = Math.min(this.#left, chunk.length - at);
      at += passed;
      this.#left -= passed;
      this.#taken += passed;
      if (this.#left === 0) {
        this.#prefixFilled = 0;
        this.#taken = 0;
      }
    }
  }
}

/** What one body holds of the budget, and its wait for more. */
class MeteredReader implements BudgetedReader {
  readonly #options: MeteredBodyOptions;
  #heldBytes = 0;
  /** Those of the held bytes that are still to be read. */
  #reservedBytes = 0;
  #onGranted = () => {};
  #onClosed = () => {};

  constructor(options: MeteredBodyOptions) {
    this.#options = options;
    options.exchange.onClose(() => {
      options.budget.done(this);
      this.#release(this.#heldBytes);
      this.#onClosed();
    });
  }

  /**
   * Its turn to read more of the body: undefined is at once. Rejects with Unavailable if it
   * takes too long to come, or the call ends.
   */
  turn(): Promise<void> | undefined {
    const { exchange, budget, waitMs } = this.#options;
    // Who holds nothing and has nothing to read takes no place among the readers: it could be
    // the one that may always go on, for which others wait, and its caller may never send.
    if (exchange.isClosed || (this.#heldBytes === 0 && exchange.unreadBytes === 0)) {
      return undefined;
    }
    if (budget.take(this, 0)) {
      this.#reserve();
      return undefined;
    }
    return new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => reject(unavailable()), waitMs);
      this.#onGranted = () => {
        clearTimeout(timer);
        this.#reserve();
        resolve();
      };
      this.#onClosed = () => {
        clearTimeout(timer);
        reject(unavailable());
      };
    });
  }

  onGranted(): void {
    this.#onGranted();
  }

  /** Counts what was read. */
  hasRead(bytes: number): void {
    const { exchange, budget } = this.#options;
    const more = Math.max(0, bytes - this.#reservedBytes);
    this.#reservedBytes = 0;
    if (!exchange.isClosed) {
      this.#heldBytes += more;
      budget.add(more);
    }
  }

  /** Gives back all but so many bytes. */
  keeps(bytes: number): void {
    this.#release(Math.max(0, this.#heldBytes - bytes));
    if (bytes === 0) {
      this.#options.budget.done(this);
    }
  }

  /** Reads no more. */
  end(): void {
    this.#options.budget.done(this);
  }

  /**
   * Counts what is read next before it is: that is all that has arrived, in one piece, and can
   * be a window. Counted afterwards, all who wait could go on together.
   */
  #reserve(): void {
    const { exchange, budget } = this.#options;
    this.#reservedBytes = exchange.unreadBytes;
    this.#heldBytes += this.#reservedBytes;
    budget.add(this.#reservedBytes);
  }

  #release(bytes: number): void {
    this.#heldBytes -= bytes;
    this.#options.budget.release(bytes);
  }
}
