import type { Writable } from "node:stream";
import { Code, ConnectError } from "@connectrpc/connect";

/** Where the parts of an answer go. */
export interface AnswerSink {
  /** What takes the body. */
  readonly writable: Writable;
  /** Whether nothing can be sent any more. */
  isClosed(): boolean;
  /**
   * Sends status and headers.
   *
   * @param isEmpty - whether no body follows.
   */
  begin(isEmpty: boolean): void;
  /** Ends the answer, with its trailers. */
  finish(): void;
  /** Breaks the answer off. */
  fail(): void;
}

/**
 * Sends an answer, waiting where the peer does not keep up. When the peer is
 * gone the body's iterator is told, so that a handler behind it stops.
 */
export async function sendAnswer(
  body: AsyncIterable<Uint8Array> | undefined,
  sink: AnswerSink,
): Promise<void> {
  const chunks = body?.[Symbol.asyncIterator]();
  try {
    // The headers go out with the first chunk, not before: until then a
    // handler may set some.
    let next = await chunks?.next();
    if (!sink.isClosed()) {
      sink.begin(next?.done !== false);
    }
    while (next?.done === false && !sink.isClosed()) {
      if (!sink.writable.write(next.value)) {
        await drained(sink.writable);
      }
      next = await chunks?.next();
    }
    if (sink.isClosed()) {
      chunks?.throw?.(callerGone()).catch(() => {});
    } else {
      sink.finish();
    }
  } catch {
    // connect turns what a handler throws into an answer. What still fails has
    // no words on the wire.
    sink.fail();
  }
}

/** The reason with which a call ends whose caller went away. */
export function callerGone(): ConnectError {
  return new ConnectError("the caller went away", Code.Canceled);
}

/** Resolves when a stream takes data again, or never will. */
function drained(writable: Writable): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      writable.off("drain", done);
      writable.off("close", done);
      resolve();
    };
    if (writable.destroyed || !writable.writableNeedDrain) {
      resolve();
    } else {
      writable.on("drain", done);
      writable.on("close", done);
    }
  });
}
