import type { ClientHttp2Stream, IncomingHttpHeaders, OutgoingHttpHeaders } from "node:http2";
import { create, type DescMessage, type DescMethodUnary } from "@bufbuild/protobuf";
import type { Transport, UnaryResponse } from "@connectrpc/connect";
import {
  createClientMethodSerializers,
  createMethodUrl,
  type UniversalClientResponse,
} from "@connectrpc/connect/protocol";
import { createTransport, requestHeaderWithCompression } from "@connectrpc/connect/protocol-grpc";
import {
  compressionBrotli,
  compressionGzip,
  type Http2SessionManager,
} from "@connectrpc/connect-node";
import { type GrpcAnswer, makeGrpcCall } from "./grpc-call.ts";
import { callUnlessLost } from "./lost-connection.ts";

/** What {@link createLeanGrpcTransport} needs. */
export interface LeanGrpcOptions {
  /** The server's URL, as connect's transports take it. */
  readonly baseUrl: string;
  /** The connection to it. */
  readonly sessionManager: Http2SessionManager;
  /** Makes the calls that are not lean: connect's own transport, over the same connection and with `lostConnectionIsUnavailable`. */
  readonly connect: Transport;
}

/**
 * Makes unary calls straight on HTTP/2. Of what a small call costs with connect's
 * transport, more than half goes into iterables of one element.
 *
 * Lean is a unary call without a deadline that is answered with success and one
 * message, not compressed. Streams and calls with a deadline go to connect's
 * transport; and any other answer is given to connect to judge, so errors and
 * their details are the same either way.
 */
export function createLeanGrpcTransport(options: LeanGrpcOptions): Transport {
  const { sessionManager, connect, baseUrl } = options;
  const paths = new Map<DescMethodUnary, string>();
  const pathOf = (method: DescMethodUnary): string => {
    let path = paths.get(method);
    if (path === undefined) {
      path = new URL(createMethodUrl(baseUrl, method)).pathname;
      paths.set(method, path);
    }
    return path;
  };
  const onRead = (stream: ClientHttp2Stream) => sessionManager.notifyResponseByteRead(stream);
  return {
    async unary(method, signal, timeoutMs, header, input, contextValues) {
      if (timeoutMs !== undefined && timeoutMs > 0) {
        return connect.unary(method, signal, timeoutMs, header, input, contextValues);
      }
      const { serialize } = createClientMethodSerializers(method, true);
      const body = enveloped(serialize(create(method.input, input)));
      const headers = requestHeaders(header);
      const open = () => sessionManager.request("POST", pathOf(method), headers, {});
      const answer = await callUnlessLost(
        () => makeGrpcCall({ open, body, signal, onRead }),
        signal,
      );
      return plainResponse(method, answer) ?? judgedByConnect(baseUrl, method, answer);
    },
    stream: (...call) => connect.stream(...call),
  };
}

/** What connect's transport for Node understands. */
const acceptCompression = [compressionGzip, compressionBrotli];

const { "user-agent": userAgent = "", ...sameForAll } = Object.fromEntries(
  requestHeaderWithCompression(true, undefined, {}, acceptCompression, null),
);

/** The headers that connect would send. */
function requestHeaders(given: HeadersInit | undefined): OutgoingHttpHeaders {
  const headers: OutgoingHttpHeaders = { "user-agent": userAgent };
  for (const [name, value] of given instanceof Headers ? given : new Headers(given)) {
    headers[name] = value;
  }
  return Object.assign(headers, sameForAll);
}

/** gRPC's prefix: one byte of flags, and four for the message's length. */
const prefixBytes = 5;

/** A message larger than this is not copied to stand behind its prefix. */
const joinMaxBytes = 65_536;

function enveloped(message: Uint8Array): Uint8Array[] {
  const prefix = Buffer.alloc(prefixBytes);
  prefix.writeUInt32BE(message.length, 1);
  return message.length > joinMaxBytes ? [prefix, message] : [Buffer.concat([prefix, message])];
}

/** Reads an answer that has nothing in it but success and one message; undefined for any other. */
function plainResponse<I extends DescMessage, O extends DescMessage>(
  method: DescMethodUnary<I, O>,
  { headers, trailers, body }: GrpcAnswer,
): UnaryResponse<I, O> | undefined {
  const whole = wholeOf(body);
  const isPlain =
    trailers?.["grpc-status"] === "0" &&
    trailers["grpc-status-details-bin"] === undefined &&
    headers[":status"] === 200 &&
    headers["grpc-status"] === undefined &&
    headers["grpc-encoding"] === undefined &&
    isGrpcType(headers["content-type"]) &&
    whole.length >= prefixBytes &&
    whole[0] === 0 &&
    whole.readUInt32BE(1) === whole.length - prefixBytes;
  if (!isPlain) return undefined;
  const { parse } = createClientMethodSerializers(method, true);
  return {
    ...{ stream: false, service: method.parent, method },
    message: parse(whole.subarray(prefixBytes)),
    // Who asks for them gets what connect would give; few do.
    get header() {
      return webHeaders(headers);
    },
    get trailer() {
      return webHeaders(trailers);
    },
  };
}

function isGrpcType(contentType: string | undefined): boolean {
  return contentType === "application/grpc+proto" || contentType === "application/grpc";
}

/** A body in one piece, which nothing else is part of: what its message refers to keeps no more than itself in memory. */
function wholeOf(body: readonly Buffer[]): Buffer {
  const length = body.reduce((sum, piece) => sum + piece.length, 0);
  const whole = Buffer.allocUnsafeSlow(length);
  let at = 0;
  for (const piece of body) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}

/** Has connect's transport read an answer: an error, or a protocol error, becomes what it makes of it. */
function judgedByConnect<I extends DescMessage, O extends DescMessage>(
  baseUrl: string,
  method: DescMethodUnary<I, O>,
  { headers, trailers, body }: GrpcAnswer,
): Promise<UnaryResponse<I, O>> {
  const response: UniversalClientResponse = {
    status: headers[":status"] ?? 0,
    header: webHeaders(headers),
    body: (async function* () {
      yield* body;
    })(),
    trailer: webHeaders(trailers ?? {}),
  };
  const judge = createTransport({
    ...{ baseUrl, httpClient: async () => response, useBinaryFormat: true, interceptors: [] },
    ...{ acceptCompression, sendCompression: null, compressMinBytes: 0 },
    ...{ readMaxBytes: maxMessageBytes, writeMaxBytes: maxMessageBytes },
  });
  return judge.unary(method, undefined, undefined, undefined, create(method.input), undefined);
}

/** connect's own limit: what gRPC's prefix can say. */
const maxMessageBytes = 0xffff_ffff;

function webHeaders(headers: IncomingHttpHeaders): Headers {
  const all = new Headers();
  for (const [name, value] of Object.entries(headers)) {
    if (value === undefined || name.startsWith(":")) continue;
    for (const one of Array.isArray(value) ? value : [value]) all.append(name, String(one));
  }
  return all;
}
