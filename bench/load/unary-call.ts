import { type ClientHttp2Session, type ClientHttp2Stream, connect } from "node:http2";
import { frame } from "../servers/answers.ts";
import { callTimeout, timeoutHeader, tokenHeader } from "../servers/paths.ts";

/** Everything that came back of a gRPC call. */
export interface Outcome {
  readonly httpStatus: number;
  /** From the trailers, or from the headers of an answer that has no others. */
  readonly grpcStatus: string;
  /** The body, with gRPC's prefix. */
  readonly body: Buffer;
}

/** Opens a connection for calls of {@link callUnary}. */
export function openSession(url: string): ClientHttp2Session {
  // In MB: node:http2 resets a call that is answered while more waits to be sent.
  const session = connect(url, { maxSessionMemory: 1_024 });
  session.on("error", () => {});
  return session;
}

/** Begins a gRPC call, with the same deadline as all. */
export function beginCall(
  session: ClientHttp2Session,
  path: string,
  token: string | undefined,
): ClientHttp2Stream {
  return session.request({
    ":method": "POST",
    ":path": path,
    "content-type": "application/grpc",
    te: "trailers",
    [timeoutHeader]: callTimeout,
    ...(token === undefined ? {} : { [tokenHeader]: token }),
  });
}

/**
 * Makes a gRPC call with node:http2 alone, so that no client's kindness hides what a server sends.
 *
 * @throws the stream's error if it ends without an answer.
 */
export function callUnary(
  session: ClientHttp2Session,
  path: string,
  message: Uint8Array,
  token?: string,
): Promise<Outcome> {
  return callFramed(session, path, frame(message), token);
}

/** Like {@link callUnary}, with a body that has gRPC's prefix already. */
export function callFramed(
  session: ClientHttp2Session,
  path: string,
  body: Uint8Array,
  token?: string,
): Promise<Outcome> {
  const stream = beginCall(session, path, token);
  const outcome = outcomeOf(stream);
  stream.end(body);
  return outcome;
}

/** Waits for the answer to a call. */
export function outcomeOf(stream: ClientHttp2Stream): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let httpStatus = 0;
    let grpcStatus = "";
    stream.on("response", (headers) => {
      httpStatus = Number(headers[":status"]);
      grpcStatus = String(headers["grpc-status"] ?? "");
    });
    stream.on("trailers", (trailers) => {
      grpcStatus = String(trailers["grpc-status"] ?? grpcStatus);
    });
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    stream.on("end", () => resolve({ httpStatus, grpcStatus, body: Buffer.concat(chunks) }));
    stream.on("error", reject);
    stream.on("close", () => reject(new Error("the stream was closed without an answer")));
  });
}
