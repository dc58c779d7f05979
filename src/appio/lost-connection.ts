import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";

/** Node's codes of a connection that broke while it was in use, or of a way there that is gone. */
const lost: ReadonlySet<string> = new Set([
  "EAI_AGAIN",
  "ECONNRESET",
  "EHOSTDOWN",
  "EHOSTUNREACH",
  "ENETDOWN",
  "ENETRESET",
  "ENETUNREACH",
  "ENOTFOUND",
  "EPIPE",
  "ERR_HTTP2_INVALID_SESSION",
  "ERR_HTTP2_INVALID_STREAM",
  "ERR_HTTP2_STREAM_CANCEL",
  "ERR_STREAM_DESTROYED",
  "ERR_STREAM_PREMATURE_CLOSE",
  "ETIMEDOUT",
]);

/** What connect says of a stream that went with its connection, and of one that the server cancelled. */
const cancelledStream = /^http\/2 stream closed with error code CANCEL\b/;

/**
 * What Node says of a stream that the server has not begun to look at: it was
 * closing the connection, or has enough of them (RFC 9113, section 8.7).
 */
const refusedStream = /\bNGHTTP2_REFUSED_STREAM\b/;

/**
 * Calls a connection that was lost by gRPC's name for it, Unavailable, on which
 * clients try again. To connect-node it looks as if the call had been aborted or
 * cancelled, by whomever. A call that its own caller cancelled stays so, and so
 * does one that the server has answered: early refusals of large requests come
 * with their own codes.
 */
export const lostConnectionIsUnavailable: Interceptor = (next) => async (request) => {
  const response = await callUnlessLost(() => next(request), request.signal);
  return response.stream
    ? { ...response, message: untilLost(response.message, request.signal) }
    : response;
};

async function* untilLost<T>(messages: AsyncIterable<T>, signal: AbortSignal): AsyncIterable<T> {
  try {
    yield* messages;
  } catch (reason) {
    throw unavailableIfLost(reason, signal);
  }
}

/**
 * Makes a call, and fails with Unavailable when its connection is lost: for calls
 * over a transport that somebody else has made, without the interceptor. Harmless
 * over one that has it.
 *
 * @param signal what cancels the call
 */
export async function callUnlessLost<T>(
  call: () => Promise<T>,
  signal: AbortSignal | undefined,
): Promise<T> {
  try {
    return await call();
  } catch (reason) {
    throw unavailableIfLost(reason, signal);
  }
}

function unavailableIfLost(reason: unknown, signal: AbortSignal | undefined): unknown {
  if (signal?.aborted === true || !isLostConnection(reason)) {
    return reason;
  }
  const text = `The connection was lost: ${ConnectError.from(reason).rawMessage}`;
  return new ConnectError(text, Code.Unavailable, undefined, undefined, reason);
}

function isLostConnection(reason: unknown): boolean {
  const error = ConnectError.from(reason);
  if (error.code === Code.Unavailable) {
    return false;
  }
  return (
    (error.code === Code.Canceled && cancelledStream.test(error.rawMessage)) ||
    (error.code === Code.Internal && refusedStream.test(error.rawMessage)) ||
    causesOf(error).some((cause) => "code" in cause && isLost(cause.code))
  );
}

function isLost(code: unknown): boolean {
  return typeof code === "string" && lost.has(code);
}

/** An error's causes, from the nearest on; a few are enough, and a circle ends too. */
function causesOf(error: Error): Error[] {
  const causes: Error[] = [];
  for (let cause = error.cause; cause instanceof Error && causes.length < 5; cause = cause.cause) {
    causes.push(cause);
  }
  return causes;
}
