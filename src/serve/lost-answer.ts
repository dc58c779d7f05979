import type { ServerHttp2Stream } from "node:http2";
import type { Readable } from "node:stream";

/**
 * Destroys a stream that its peer has closed before all of its answer was sent. Node does so
 * itself when the reset has an error code, or the body had ended. Else it waits until the answer is
 * sent, which cannot happen any more: the stream would stay, count as an open request, and keep a
 * connection open whose peer has left.
 *
 * To be called when Node ends the body, as it does when a stream is closed.
 */
export function dropLostAnswer(readable: Readable): void {
  if (
    isHttp2Stream(readable) &&
    readable.closed &&
    !readable.writableFinished &&
    !readable.destroyed
  ) {
    // Not while Node reads from the connection.
    setImmediate(() => readable.destroy());
  }
}

/** Tells a stream of HTTP/2 from a request of HTTP/1.1. */
export function isHttp2Stream(readable: Readable): readable is ServerHttp2Stream {
  return "endAfterHeaders" in readable;
}
