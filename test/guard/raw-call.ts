import { type ClientHttp2Session, constants } from "node:http2";
import { connect } from "node:net";

/** A protocol that the matrix speaks byte by byte, as no client library would. */
export type Protocol = "gRPC" | "gRPC-web" | "Connect binary" | "Connect JSON" | "Connect GET";

/** The kinds of RPC, and the one of Mailbox's that the matrix calls for each. */
export const rpcOf = {
  unary: "CountLetters",
  server_streaming: "WatchLetters",
  client_streaming: "ImportLetters",
  bidi_streaming: "Converse",
} as const;

export type Kind = keyof typeof rpcOf;
export type HttpVersion = "HTTP/1.1" | "HTTP/2";
export type HeaderEntries = readonly (readonly [name: string, value: string])[];

/** What came back, without the date. */
export interface RawAnswer {
  readonly status: number;
  readonly headers: HeaderEntries;
  readonly body: Buffer;
  readonly trailers: HeaderEntries;
}

/** How a call ended, in gRPC's words whatever the protocol. */
export interface Outcome {
  readonly code: string;
  readonly message: string;
}

export interface RawRequest {
  readonly method: "POST" | "GET";
  readonly path: string;
  readonly headers: HeaderEntries;
  readonly body: Buffer;
}

/** Builds a request, with a body that decodes or one that nothing decodes. */
export function requestOf(
  protocol: Protocol,
  kind: Kind,
  credential: HeaderEntries,
  isDecodable: boolean,
): RawRequest {
  const path = `/countersign.example.v1.Mailbox/${rpcOf[kind]}`;
  // WatchLettersRequest{limit: 1}; the other requests are empty.
  const message =
    protocol === "Connect JSON"
      ? Buffer.from(kind === "server_streaming" ? '{"limit":1}' : "{}")
      : Buffer.from(kind === "server_streaming" ? [0x10, 0x01] : []);
  if (protocol === "Connect GET") {
    const value = isDecodable ? "" : "%2F%2F8";
    const query = `?connect=v1&encoding=proto&base64=1&message=${value}`;
    return { method: "GET", path: path + query, headers: credential, body: Buffer.alloc(0) };
  }
  const isEnveloped = protocol.startsWith("gRPC") || kind !== "unary";
  const garbage = Buffer.from("\xff\xff\xff\xff{not a message", "latin1");
  const body = isDecodable ? (isEnveloped ? envelope(message) : message) : garbage;
  const headers: HeaderEntries = [
    ["content-type", contentTypeOf(protocol, kind)],
    ...(protocol === "gRPC" ? ([["te", "trailers"]] as const) : []),
    ...credential,
  ];
  return { method: "POST", path, headers, body };
}

function contentTypeOf(protocol: Exclude<Protocol, "Connect GET">, kind: Kind): string {
  switch (protocol) {
    case "gRPC":
      return "application/grpc";
    case "gRPC-web":
      return "application/grpc-web+proto";
    case "Connect binary":
      return kind === "unary" ? "application/proto" : "application/connect+proto";
    case "Connect JSON":
      return kind === "unary" ? "application/json" : "application/connect+json";
  }
}

function envelope(message: Buffer): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

/** Sends a request on an HTTP/2 connection. */
export function callHttp2(session: ClientHttp2Session, request: RawRequest): Promise<RawAnswer> {
  // A list of values is sent as that many header fields, not joined.
  const fields: Record<string, string[] | string> = {};
  for (const [name, value] of request.headers) {
    const before = fields[name];
    fields[name] = before === undefined ? value : [...[before].flat(), value];
  }
  return new Promise((resolve) => {
    const stream = session.request(
      { ":method": request.method, ":path": request.path, ...fields },
      { endStream: request.method === "GET" },
    );
    const chunks: Buffer[] = [];
    let headers: HeaderEntries = [];
    let trailers: HeaderEntries = [];
    stream.on("response", (_headers, _flags, flat: string[]) => {
      headers = entriesOf(flat);
    });
    stream.on("trailers", (_headers, _flags, flat: string[]) => {
      trailers = entriesOf(flat);
    });
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    // A refused upload is reset; what was answered before that counts.
    stream.on("error", () => undefined);
    stream.on("close", () => {
      const status = Number(headers.find(([name]) => name === constants.HTTP2_HEADER_STATUS)?.[1]);
      resolve({ status, headers, body: Buffer.concat(chunks), trailers });
    });
    if (request.method === "POST") {
      stream.end(request.body);
    }
  });
}

/** Sends a request on an HTTP/1.1 connection of its own. */
export function callHttp1(port: number, request: RawRequest): Promise<RawAnswer> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1");
    const chunks: Buffer[] = [];
    socket.on("data", (chunk: Buffer) => chunks.push(chunk));
    socket.on("error", reject);
    socket.on("close", () => resolve(parseHttp1(Buffer.concat(chunks))));
    const lines = [
      `${request.method} ${request.path} HTTP/1.1`,
      "host: 127.0.0.1",
      "connection: close",
      ...(request.method === "POST" ? [`content-length: ${request.body.length}`] : []),
      ...request.headers.map(([name, value]) => `${name}: ${value}`),
    ];
    socket.write(Buffer.concat([Buffer.from(`${lines.join("\r\n")}\r\n\r\n`), request.body]));
  });
}

function parseHttp1(bytes: Buffer): RawAnswer {
  const text = bytes.toString("latin1");
  const headEnd = text.indexOf("\r\n\r\n");
  const [statusLine, ...lines] = text.slice(0, headEnd).split("\r\n");
  const headers = entriesOf(lines.flatMap((line) => [...splitField(line)]));
  const isChunked = headers.some(
    ([name, value]) => name === "transfer-encoding" && value === "chunked",
  );
  const rest = text.slice(headEnd + 4);
  const body = isChunked ? unchunk(rest) : rest;
  return {
    status: Number(statusLine?.split(" ")[1]),
    headers,
    body: Buffer.from(body, "latin1"),
    trailers: [],
  };
}

function splitField(line: string): [string, string] {
  const colon = line.indexOf(":");
  return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
}

function unchunk(text: string): string {
  const size = Number.parseInt(text, 16);
  if (!(size > 0)) {
    return "";
  }
  const start = text.indexOf("\r\n") + 2;
  return text.slice(start, start + size) + unchunk(text.slice(start + size + 2));
}

function entriesOf(flat: readonly string[]): HeaderEntries {
  const entries: [string, string][] = [];
  for (let i = 0; i + 1 < flat.length; i += 2) {
    if (flat[i] !== "date") {
      entries.push([flat[i] ?? "", flat[i + 1] ?? ""]);
    }
  }
  return entries;
}

/** Reads how a call ended out of the bytes that came back. */
export function outcomeOf(protocol: Protocol, kind: Kind, answer: RawAnswer): Outcome {
  if (protocol === "gRPC" || protocol === "gRPC-web") {
    const fields = new Map([...answer.headers, ...answer.trailers, ...webTrailers(answer.body)]);
    return {
      code: grpcCodes.get(fields.get("grpc-status") ?? "") ?? `status ${fields.get("grpc-status")}`,
      message: decodeURIComponent(fields.get("grpc-message") ?? ""),
    };
  }
  if (kind === "unary") {
    return answer.status === 200
      ? { code: "ok", message: "" }
      : errorIn(JSON.parse(answer.body.toString()));
  }
  const end = envelopes(answer.body).find(({ flags }) => flags === 2);
  const parsed: unknown = JSON.parse(end?.data.toString() ?? "{}");
  return errorIn(
    typeof parsed === "object" && parsed !== null ? Reflect.get(parsed, "error") : null,
  );
}

const grpcCodes: ReadonlyMap<string, string> = new Map([
  ["0", "ok"],
  ["7", "permission_denied"],
  ["16", "unauthenticated"],
]);

function errorIn(error: unknown): Outcome {
  if (typeof error !== "object" || error === null) {
    return { code: "ok", message: "" };
  }
  return {
    code: String(Reflect.get(error, "code")),
    message: String(Reflect.get(error, "message") ?? ""),
  };
}

function webTrailers(body: Buffer): HeaderEntries {
  const trailer = envelopes(body).find(({ flags }) => flags === 0x80);
  const lines = trailer?.data.toString().trim().split("\r\n") ?? [];
  return lines.filter((line) => line.includes(":")).map(splitField);
}

function envelopes(body: Buffer): { flags: number; data: Buffer }[] {
  const found: { flags: number; data: Buffer }[] = [];
  for (let at = 0; at + 5 <= body.length; ) {
    const size = body.readUInt32BE(at + 1);
    found.push({ flags: body[at] ?? 0, data: body.subarray(at + 5, at + 5 + size) });
    at += 5 + size;
  }
  return found;
}
