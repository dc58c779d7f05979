import type { Writable } from "node:stream";
import { Code, ConnectError } from "@connectrpc/connect";
import type { AnswerManner } from "./exchange.ts";
import { type AnswerPlace, LargeAnswer } from "./large-answer.ts";
import { uncountedBytes } from "./unsent-answers.ts";

/** Where the parts of an answer go. */
export interface AnswerSink extends AnswerPlace {
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
  /** Forgets the answer, which has not begun: another will be given. */
  takeBack(): void;
  /** Told of a large piece of the body, to be released when the exchange is over. */
  onLarge(large: LargeAnswer): void;
}

/**
 * Sends an answer, waiting where the peer does not keep up. When the peer is
 * gone, or there is no room for the answer, the body's iterator is told, so that a
 * handler behind it stops.
 */
export async function sendAnswer(
  body: AsyncIterable<Uint8Array> | undefined,
  manner: AnswerManner | undefined,
  sink: AnswerSink,
): Promise<void> {
  const chunks = body?.[Symbol.asyncIterator]();
  try {
    // The headers go out with the first chunk, not before: until then a
    // handler may set some.
    let next = await chunks?.next();
    if (!sink.isClosed()) {
      if (manner !== undefined && next?.done === false && !hasRoom(next.value, manner, sink)) {
        chunks?.throw?.(noRoom()).catch(() => {});
        sink.takeBack();
        manner.refuse();
        return;
      }
      sink.begin(next?.done !== false);
    }
    const isStream = manner?.isStream === true;
    while (next?.done === false && !sink.isClosed()) {
      if (!hasRoom(next.value, manner, sink)) {
        sink.breakOff();
        break;
      }
      const sent = sendChunk(next.value, manner, sink);
      if (isStream && sent !== undefined) {
        await sent;
      }
      // Only who is asked for what comes next lets go of the message that was sent: a unary
      // answer has no further one, which would be made too early.
      next = await chunks?.next();
      if (!isStream && sent !== undefined) {
        await sent;
      }
    }
    if (sink.isClosed()) {
      chunks?.throw?.(callerGone()).catch(() => {});
    } else {
      sink.finish();
    }
  } catch {
    // connect turns what a handler throws into an answer. What still fails has
    // no words on the wire.
    sink.breakOff();
  }
}

/** The reason with which a call ends whose caller went away. */
export function callerGone(): ConnectError {
  return new ConnectError("the caller went away", Code.Canceled);
}

/** The reason with which a call ends whose answer there is no room for. */
function noRoom(): ConnectError {
  return new ConnectError("there is no room for the answer", Code.Unavailable);
}

/** How often connect has a message of a stream in memory while it is sent: itself, its bytes, and those with their prefix. */
const streamCopies = 3;

/** What is held until a piece is taken, in bytes; what still waits before it is as well. */
function heldBytes(
  chunk: Uint8Array,
  manner: AnswerManner | undefined,
  { writable }: AnswerSink,
): number {
  const copies = manner?.isStream === true ? streamCopies : 1;
  return writable.writableLength + chunk.length * copies;
}

/** Whether a piece may be handed over. */
function hasRoom(chunk: Uint8Array, manner: AnswerManner | undefined, sink: AnswerSink): boolean {
  const bytes = heldBytes(chunk, manner, sink);
  return bytes <= uncountedBytes || sink.answers.hasRoom(sink.connection, bytes);
}

/** Sends a piece of the body; returns what is to be waited for before the next, if anything is. */
function sendChunk(
  chunk: Uint8Array,
  manner: AnswerManner | undefined,
  sink: AnswerSink,
): Promise<void> | undefined {
  const { writable } = sink;
  const bytes = heldBytes(chunk, manner, sink);
  if (bytes > uncountedBytes) {
    return new Promise((resolve) => {
      const large = new LargeAnswer(sink, chunk, {
        bytes,
        isTimed: manner?.isStream !== true,
        isLast: false,
        onDone: resolve,
      });
      sink.onLarge(large);
      large.send();
    });
  }
  return writable.write(chunk) ? undefined : drained(writable);
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
