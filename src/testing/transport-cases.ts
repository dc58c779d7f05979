import type { Column } from "./columns.ts";
import {
  columnHeaders,
  envelope,
  type HeaderEntries,
  type RawRequest,
  requestWith,
} from "./raw-request.ts";

/**
 * What a hostile request must meet:
 * - `refusal`: the one refusal, on its headers, with the same bytes for every RPC,
 * - `no RPC`: an HTTP error, the same for every path, as it is no RPC request at all,
 * - `failure`: anything but success.
 */
export type TransportExpectation = "refusal" | "no RPC" | "failure";

/** One hostile way to send a request. */
export interface TransportCase {
  readonly name: string;
  readonly expects: TransportExpectation;
  /** Whether its body is what is wrong: then no answer may depend on it. */
  readonly isAboutBody: boolean;
  /** Whether it also goes to open RPCs, none of which can do anything with it. */
  readonly isForOpen: boolean;
  /** Whether it needs a connection of its own. */
  readonly isApart: boolean;
  /** Makes the request, with an empty message where it needs one; undefined where the column has no such thing. */
  request(column: Column, path: string, credential: HeaderEntries): RawRequest | undefined;
}

/** The case whose bytes are counted. */
export const endlessUpload = "upload that never ends";

const silentRequest = "body that never comes";
const empty = new Uint8Array();
const garbage = Buffer.from("\xff\xff\xff\xff{not a message", "latin1");
const largestMessageBytes = 0xffffffff;
const announcedBytes = 100;

/** The message that says nothing, in the encoding of a column. */
export function emptyMessage({ protocol }: Column): Uint8Array {
  return protocol === "Connect JSON" ? Buffer.from("{}") : empty;
}

/** A request that nothing is wrong with but who sends it. */
export const plainCase: TransportCase = {
  name: "plain",
  expects: "refusal",
  isAboutBody: false,
  isForOpen: false,
  isApart: false,
  request: (column, path, credential) =>
    requestWith(column, path, [emptyMessage(column)], credential),
};

/** A body that nothing decodes. */
export const garbageCase: TransportCase = {
  name: "garbage body",
  expects: "refusal",
  isAboutBody: true,
  isForOpen: true,
  isApart: false,
  request: (column, path, credential) =>
    column.protocol === "Connect GET"
      ? requestWith(column, path, [Buffer.from([0xff, 0xff])], credential)
      : { ...requestWith(column, path, [], credential), body: garbage },
};

type Post = (request: RawRequest, column: Column) => RawRequest | undefined;

/** A case of requests that have a body. */
function post(
  name: string,
  change: Post,
  options: Partial<Pick<TransportCase, "isForOpen" | "isApart" | "expects">> = {},
): TransportCase {
  return {
    name,
    expects: "refusal",
    isAboutBody: true,
    isForOpen: false,
    isApart: false,
    ...options,
    request: (column, path, credential) =>
      column.protocol === "Connect GET"
        ? undefined
        : change(requestWith(column, path, [emptyMessage(column)], credential), column),
  };
}

/** A case of what HTTP says about a request. */
function withHead(
  name: string,
  expects: TransportExpectation,
  change: (request: RawRequest, column: Column) => RawRequest,
  isApart = false,
): TransportCase {
  return {
    name,
    expects,
    isAboutBody: false,
    isForOpen: expects === "no RPC",
    isApart,
    request: (column, path, credential) =>
      change(requestWith(column, path, [emptyMessage(column)], credential), column),
  };
}

function withHeaders(request: RawRequest, ...headers: HeaderEntries): RawRequest {
  return { ...request, headers: [...request.headers, ...headers] };
}

/** The header that names the compression of a column's messages. */
function compressionHeader({ protocol, isEnveloped }: Column): string {
  if (protocol === "gRPC" || protocol === "gRPC-web") {
    return "grpc-encoding";
  }
  return isEnveloped ? "connect-content-encoding" : "content-encoding";
}

function withCompression(request: RawRequest, column: Column, name: string): RawRequest {
  return column.protocol === "Connect GET"
    ? { ...request, target: `${request.target}&compression=${name}` }
    : withHeaders(request, [compressionHeader(column), name]);
}

/** Every hostile way to send a request, but for {@link plainCase} and {@link garbageCase}. */
export const furtherTransportCases: readonly TransportCase[] = [
  // In a frame that is right: what only the decoder of the message finds out.
  post(
    "garbage message",
    (request, { isEnveloped }) =>
      isEnveloped ? { ...request, body: envelope(garbage) } : undefined,
    { isForOpen: true },
  ),
  post(
    "truncated body",
    (request, { isEnveloped }) =>
      isEnveloped ? { ...request, body: envelope(empty, announcedBytes) } : undefined,
    { isForOpen: true },
  ),
  // Below every RPC that is no request: it ends in an HTTP error, or is broken off, whoever is first
  // (RFC 9112, section 8; RFC 9113, section 8.1.1).
  post(
    "body shorter than its content-length",
    (request, { isEnveloped }) => (isEnveloped ? undefined : { ...request, announcedBytes }),
    { isForOpen: true, expects: "failure" },
  ),
  post(silentRequest, (request) => ({
    ...request,
    body: empty,
    announcedBytes,
    afterBody: "silence",
  })),
  post("oversized announced length", (request, { isEnveloped }) => ({
    ...request,
    body: isEnveloped ? envelope(empty, largestMessageBytes) : empty,
    announcedBytes: largestMessageBytes,
    afterBody: "silence",
  })),
  post(
    endlessUpload,
    (request, { isEnveloped }) => ({
      ...request,
      body: isEnveloped ? envelope(empty, largestMessageBytes) : empty,
      afterBody: "flood",
    }),
    { isApart: true },
  ),
  post(
    "compressed garbage",
    (request, column) => {
      const flagged = envelope(garbage);
      flagged.writeUInt8(1, 0);
      const body = column.isEnveloped ? flagged : garbage;
      return withCompression({ ...request, body }, column, "gzip");
    },
    { isForOpen: true },
  ),
  withHead("unknown compression", "refusal", (request, column) =>
    withCompression(request, column, "nonsense"),
  ),
  withHead("malformed deadline", "refusal", (request, { protocol }) =>
    withHeaders(
      request,
      protocol.startsWith("gRPC") ? ["grpc-timeout", "soon"] : ["connect-timeout-ms", "soon"],
    ),
  ),
  withHead(
    "headers too large",
    "failure",
    (request) => withHeaders(request, ["x-large", "x".repeat(128 * 1024)]),
    true,
  ),
  withHead("no content type", "no RPC", (request, { protocol }) =>
    protocol === "Connect GET"
      ? { ...request, target: request.target.replace(/\?.*/, "") }
      : { ...request, headers: request.headers.filter(([name]) => name !== "content-type") },
  ),
  withHead("foreign content type", "no RPC", (request, column) => ({
    ...request,
    headers: [
      ["content-type", "text/plain"],
      ...request.headers.slice(columnHeaders(column).length),
    ],
  })),
  withHead("wrong method", "no RPC", (request) => ({ ...request, method: "PUT" })),
];
