import { once } from "node:events";
import { type ClientHttp2Session, connect as connectHttp2 } from "node:http2";
import { connect, type Socket } from "node:net";

/** Opens a plain TCP connection to a server of the tests. */
export async function openSocket(port: number): Promise<Socket> {
  const socket = connect(port, "127.0.0.1");
  socket.on("error", () => {});
  await once(socket, "connect");
  return socket;
}

/** Everything a connection receives until its end, as Latin-1 text. */
export async function readToEnd(socket: Socket): Promise<string> {
  const chunks: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => chunks.push(chunk));
  // Not once(): a connection that breaks has received something too.
  await new Promise((resolve) => socket.once("close", resolve));
  return Buffer.concat(chunks).toString("latin1");
}

/** Sends bytes on a connection of their own and returns all that comes back until it closes. */
export async function sendBytes(port: number, bytes: string | Uint8Array): Promise<string> {
  const socket = await openSocket(port);
  const received = readToEnd(socket);
  socket.write(bytes);
  return received;
}

/** An HTTP/1.1 request as text; the connection closes after its answer. */
export function http1Request(
  method: string,
  target: string,
  headers: Readonly<Record<string, string>>,
  body = "",
): string {
  const fields = { host: "127.0.0.1", connection: "close", ...headers };
  const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`);
  const length = method === "POST" || body !== "" ? `content-length: ${body.length}\r\n` : "";
  return `${method} ${target} HTTP/1.1\r\n${lines.join("")}${length}\r\n${body}`;
}

/** The answer to a raw request, without its date. */
export function withoutDate(answer: string): string {
  return answer.replace(/^date: .*\r\n/im, "");
}

/** Opens an HTTP/2 connection that stays quiet about its errors. */
export function openHttp2(url: string): ClientHttp2Session {
  const session = connectHttp2(url);
  session.on("error", () => {});
  return session;
}

/** What came back on an HTTP/2 stream. */
export interface Http2Answer {
  /** Status and headers in order, without the date. */
  readonly headers: readonly string[];
  readonly body: string;
  readonly trailers: readonly string[];
  /** Error code with which the stream was closed; 0 is none. */
  readonly resetCode: number;
}

/** Sends one request on an HTTP/2 connection. A header with several values is sent as often. */
export function http2Request(
  session: ClientHttp2Session,
  headers: Readonly<Record<string, string | string[]>>,
  body?: Uint8Array,
): Promise<Http2Answer> {
  return new Promise((resolve) => {
    const stream = session.request({ ...headers }, { endStream: body === undefined });
    const chunks: Buffer[] = [];
    let answerHeaders: string[] = [];
    let trailers: string[] = [];
    stream.on("error", () => {});
    stream.on("response", (_headers, _flags, flat: string[]) => {
      answerHeaders = withoutDateField(flat);
    });
    stream.on("trailers", (_headers, _flags, flat: string[]) => {
      trailers = flat;
    });
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    stream.on("close", () =>
      resolve({
        headers: answerHeaders,
        body: Buffer.concat(chunks).toString("latin1"),
        trailers,
        resetCode: stream.rstCode,
      }),
    );
    if (body !== undefined) {
      stream.end(body);
    }
  });
}

/** A list of headers, names and values in turn, without the date. */
export function withoutDateField(flat: readonly string[]): string[] {
  const kept: string[] = [];
  for (let i = 0; i + 1 < flat.length; i += 2) {
    if (flat[i] !== "date") {
      kept.push(flat[i] ?? "", flat[i + 1] ?? "");
    }
  }
  return kept;
}
