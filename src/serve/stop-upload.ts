import { constants, type ServerHttp2Stream } from "node:http2";
import type { Readable } from "node:stream";
import { drainBody } from "./body-watch.ts";
import { isHttp2Stream } from "./lost-answer.ts";

/**
 * Asks the peer to stop an upload that nobody reads: after a complete answer
 * a server may reset the stream without an error (RFC 9113, section 8.1). Only
 * when the answer has left: Node 26 sends a reset before an answer that is given
 * while it reads from the socket, and that answer is then lost.
 */
export function stopUpload(stream: ServerHttp2Stream): void {
  const isComplete = stream.endAfterHeaders || stream.state.remoteClose === 1;
  if (!isComplete && !stream.closed && !stream.destroyed) {
    stream.close(constants.NGHTTP2_NO_ERROR);
  }
  // A stream is over when its body has been read, be it closed or not.
  drainBody(stream);
}

/**
 * {@link stopUpload}, if the answer has left. For the moment in which more of a body
 * arrives: until the end of its turn Node would read on for as long as the peer sends
 * fast, and the peer does until it sees the reset. HTTP/1.1 has nothing to reset but the
 * connection.
 */
export function stopAnsweredUpload(readable: Readable): void {
  if (isHttp2Stream(readable) && !readable.closed && readable.state.localClose === 1) {
    stopUpload(readable);
  }
}
