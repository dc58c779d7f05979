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
  const { exchange, budget, isStream } = options;
  const meter = options.shape === "unary" ? unaryMeter(options) : new EnvelopeMeter(options);
  const reader = new PromisedReader();
  let heldBytes = 0;
  const release = (bytes: number) => {
    heldBytes -= bytes;
    budget.release(bytes);
  };
  exchange.onClose(() => {
    budget.done(reader);
    release(heldBytes);
  });
  // What has arrived by now is read in one piece, and can be a window.
  try {
    if (!budget.take(reader, 0)) {
      await reader.granted(options.waitMs);
    }
  } finally {
    // Who holds nothing yet must not be the one that may always go on.
    budget.done(reader);
  }
  for await (const chunk of options.body) {
    meter.push(chunk);
    if (!exchange.isClosed) {
      heldBytes += chunk.length;
      if (!budget.take(reader, chunk.length)) {
        await reader.granted(options.waitMs);
      }
    }
    yield chunk;
    if (isStream) {
      // Whoever asks for more has done with the messages that were complete.
      release(Math.max(0, heldBytes - meter.pendingBytes));
      if (meter.pendingBytes === 0) {
        budget.done(reader);
      }
    }
  }
  budget.done(reader);
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

/** Waits for the budget with a promise. */
class PromisedReader implements BudgetedReader {
  #onGranted = () => {};

  /** Resolves when the reader may go on; rejects with Unavailable if it has to wait too long. */
  granted(waitMs: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(unavailable()), waitMs);
      this.#onGranted = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  onGranted(): void {
    this.#onGranted();
  }
}
