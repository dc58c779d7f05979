import {
  type ClientHttp2Stream,
  constants,
  type IncomingHttpHeaders,
  type IncomingHttpStatusHeader,
} from "node:http2";
import { Code, ConnectError } from "@connectrpc/connect";

/** What came back of a call that nothing broke off: not looked at yet. */
export interface GrpcAnswer {
  readonly headers: IncomingHttpHeaders & IncomingHttpStatusHeader;
  /** Undefined where the headers were all that came. */
  readonly trailers: IncomingHttpHeaders | undefined;
  /** The pieces of the body. */
  readonly body: readonly Buffer[];
}

/** A unary call, ready to be sent. */
export interface GrpcCall {
  /** Opens a stream whose headers are sent. */
  readonly open: () => Promise<ClientHttp2Stream>;
  /** gRPC's prefix and the message, in pieces. They are not copied: do not change them before they are sent. */
  readonly body: readonly Uint8Array[];
  /** Ends the call. */
  readonly signal: AbortSignal | undefined;
  /** Called for each piece of the answer. */
  readonly onRead: (stream: ClientHttp2Stream) => void;
}

/**
 * Makes a unary call on an HTTP/2 stream of its own, and collects the answer. An
 * answer may come before the request has left: a refusal does.
 *
 * @throws ConnectError: Canceled when the signal is aborted; as gRPC maps HTTP/2's
 * codes when the stream is reset; Internal, with its cause, for any other error.
 */
export function makeGrpcCall({ open, body, signal, onRead }: GrpcCall): Promise<GrpcAnswer> {
  return new Promise((resolve, reject) => {
    let isOver = false;
    let stream: ClientHttp2Stream | undefined;
    const settle = (): boolean => {
      const isFirst = !isOver;
      isOver = true;
      signal?.removeEventListener("abort", cancel);
      return isFirst;
    };
    const fail = (reason: unknown): void => {
      if (settle()) reject(reason);
    };
    function cancel(): void {
      fail(ConnectError.from(signal?.reason, Code.Canceled));
      stream?.close(constants.NGHTTP2_CANCEL);
    }
    const begin = (opened: ClientHttp2Stream): void => {
      stream = opened;
      if (isOver) {
        opened.on("error", () => {});
        opened.close(constants.NGHTTP2_CANCEL);
        return;
      }
      const succeed = (answer: GrpcAnswer) => {
        if (settle()) resolve(answer);
      };
      collect(opened, onRead, succeed, fail);
      send(opened, body);
    };
    if (signal?.aborted) {
      cancel();
      return;
    }
    signal?.addEventListener("abort", cancel);
    open().then(begin, (reason) => fail(ConnectError.from(reason, Code.Internal)));
  });
}

function send(stream: ClientHttp2Stream, body: readonly Uint8Array[]): void {
  for (const piece of body) stream.write(piece);
  stream.end();
}

/**
 * Tells when an answer is there, or that none will come. With a status it is there, even if the stream is reset then
 * because nobody reads the rest of the request; without one, when the stream was closed in order.
 */
function collect(
  stream: ClientHttp2Stream,
  onRead: (stream: ClientHttp2Stream) => void,
  succeed: (answer: GrpcAnswer) => void,
  fail: (reason: unknown) => void,
): void {
  let headers: GrpcAnswer["headers"] = {};
  let trailers: IncomingHttpHeaders | undefined;
  let hasEnded = false;
  const body: Buffer[] = [];
  let broken: Error | undefined;
  const finish = () => succeed({ headers, trailers, body });
  const hasStatus = () => (trailers ?? headers)["grpc-status"] !== undefined;
  const finishIfComplete = () => {
    if (hasEnded && hasStatus()) finish();
  };
  stream.on("response", (received) => {
    headers = received;
  });
  stream.on("data", (piece: Buffer) => {
    body.push(piece);
    onRead(stream);
  });
  stream.on("trailers", (received) => {
    trailers = received;
    finishIfComplete();
  });
  stream.on("end", () => {
    // Node says so of a body that was cut off, too.
    hasEnded = true;
    finishIfComplete();
  });
  stream.on("error", (error) => {
    broken = error;
  });
  stream.on("close", () => {
    const { rstCode = constants.NGHTTP2_INTERNAL_ERROR } = stream;
    if (hasStatus() || (hasEnded && rstCode === constants.NGHTTP2_NO_ERROR)) {
      finish();
    } else if (broken === undefined || isReset(broken)) {
      fail(resetError(rstCode));
    } else {
      fail(ConnectError.from(broken, Code.Internal));
    }
  });
}

/** Whether an error says no more than the stream's code. */
function isReset(error: Error): boolean {
  return "code" in error && error.code === "ERR_HTTP2_STREAM_ERROR";
}

/** The names of HTTP/2's error codes, in order of the codes (RFC 9113, section 7). */
const resetNames = [
  ...["NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT"],
  ...["STREAM_CLOSED", "FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR"],
  ...["CONNECT_ERROR", "ENHANCE_YOUR_CALM", "INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED"],
];

/**
 * Those that are not an internal error (gRPC over HTTP/2, "Errors"). Where gRPC
 * says RESOURCE_EXHAUSTED of a peer that asks for calm, this says Unavailable,
 * on which clients wait and try again: Grid takes the other for an empty list.
 */
const codesOfResets: ReadonlyMap<number, Code> = new Map([
  [constants.NGHTTP2_REFUSED_STREAM, Code.Unavailable],
  [constants.NGHTTP2_CANCEL, Code.Canceled],
  [constants.NGHTTP2_ENHANCE_YOUR_CALM, Code.Unavailable],
]);

/** What a stream that was closed before its answer means, in connect's words. */
function resetError(code: number): ConnectError {
  const name = `${resetNames[code] ?? "unknown"} (0x${code.toString(16)})`;
  return new ConnectError(
    `http/2 stream closed with error code ${name}`,
    codesOfResets.get(code) ?? Code.Internal,
  );
}
