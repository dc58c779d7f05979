import { Readable } from "node:stream";
import { dropLostAnswer } from "./lost-answer.ts";

/**
 * Lets the rest of a body run dry that nobody wants. An iterator that was left
 * in the middle still listens, and would hold the stream up for ever. May be
 * called again: listeners are removed only where there are some, because Node
 * stops what flows a turn after they were removed, unless it begins to flow then.
 */
export function drainBody(readable: Readable): void {
  if (readable.listenerCount("readable") > 0) {
    readable.removeAllListeners("readable");
  }
  readable.resume();
}

/** Visits the pieces of a body that have arrived and nobody has read. */
export function visitUnread(readable: Readable, visit: (piece: Uint8Array) => void): void {
  if (readable.readableLength === 0) {
    return;
  }
  // Not in Node's documentation: the array in which it keeps them. Entries that
  // have been read may still be there, as null.
  const pieces: unknown = Reflect.get(readable, "readableBuffer");
  if (Array.isArray(pieces)) {
    for (const piece of pieces) {
      if (piece instanceof Uint8Array) {
        visit(piece);
      }
    }
  }
}

/** Has every piece of a body told of that is not read as it arrives. Made by {@link createBodyWatch}. */
export type BodyWatch = (readable: Readable) => void;

/** What a watch of bodies tells, in the moment in which it happens. */
export interface UnreadListener {
  /** A piece has arrived and was not read at once. May end the call. */
  onUnread(piece: Uint8Array): void;
  /** And there was more before it. */
  onBacklog(readable: Readable): void;
}

/**
 * Makes a watch of bodies. Not in Node's documentation: its HTTP parsers hand a
 * body over by calling `push` of the stream, by that name, as they read it from
 * the socket. That is the one moment to look at what arrives: within a turn of the
 * event loop Node reads up to 2 MiB of every socket, and no timer runs before
 * its end.
 */
export function createBodyWatch(listener: UnreadListener): BodyWatch {
  // One function for all streams, so that a call pays for no closure.
  const push = function (this: Readable, chunk: unknown, encoding?: BufferEncoding): boolean {
    const mayGoOn = Readable.prototype.push.call(this, chunk, encoding);
    if (this.readableLength > 0 && chunk instanceof Uint8Array) {
      listener.onUnread(chunk);
      if (this.readableLength > chunk.length) {
        listener.onBacklog(this);
      }
    }
    if (chunk === null) {
      dropLostAnswer(this);
    }
    return mayGoOn;
  };
  return (readable) => {
    readable.push = push;
  };
}

/**
 * Lets go of a body before any more of it arrives: what is there runs dry, in
 * this same turn of the event loop, and what still comes is held no more, nor asked
 * for: HTTP/2 gives no window back, and from a connection of HTTP/1.1 Node reads no more.
 *
 * @param maxDiscardedBytes - how much that still comes is asked for all the same: on
 * HTTP/1.1 the next request waits behind it.
 */
export function dropBody(readable: Readable, maxDiscardedBytes: number): void {
  let left = maxDiscardedBytes;
  readable.push = (chunk: unknown) => {
    if (chunk === null) {
      // The end is passed on: without it a stream is never closed.
      Readable.prototype.push.call(readable, null);
      dropLostAnswer(readable);
    } else if (chunk instanceof Uint8Array) {
      left -= chunk.length;
    }
    // Told to stop, Node does not begin again: nothing asks for more of such a body.
    return left >= 0;
  };
  readable.removeAllListeners("data");
  drainBody(readable);
}
