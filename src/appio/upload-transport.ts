import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import type { Interceptor, Transport } from "@connectrpc/connect";
import { createTransport } from "@connectrpc/connect/protocol-grpc";
import {
  compressionBrotli,
  compressionGzip,
  createNodeHttpClient,
  type Http2SessionManager,
} from "@connectrpc/connect-node";
import { PushObjectRequestSchema } from "../../gen/flwr/proto/message_pb.ts";
import { joinPieces, lengthOf } from "./objects/bytes.ts";
import { ObjectUpload } from "./objects/object-upload.ts";

/** Options of {@link createUploadTransport}. */
export interface UploadTransportOptions {
  readonly baseUrl: string;
  readonly sessionManager: Http2SessionManager;
  readonly interceptors: Interceptor[];
  /** Makes all other calls. */
  readonly usual: Transport;
}

/** Smaller contents go the usual way: a copy costs less than a write of its own. */
const leastBytes = 64 * 1024;

/** Larger ones do too, for the error they get there: a message has less than 4 GiB. */
const mostBytes = 2 ** 32 - leastBytes;

const { number: contentNumber } = PushObjectRequestSchema.field.objectContent;

/**
 * Makes a gRPC transport that sends the content of an {@link ObjectUpload} from where it is.
 * connect copies a content three times on its way, and V8 lets a hundred MiB of such copies come together before it
 * frees them.
 */
export function createUploadTransport(options: UploadTransportOptions): Transport {
  const { baseUrl, sessionManager, interceptors, usual } = options;
  const httpClient = createNodeHttpClient({
    httpVersion: "2",
    sessionProvider: () => sessionManager,
  });

  /** A transport for one call, whose request ends with the content. */
  const sending = (pieces: readonly Uint8Array[]) =>
    createTransport({
      baseUrl,
      interceptors,
      httpClient: ({ body, ...request }) =>
        httpClient({ ...request, ...(body && { body: withContent(body, pieces) }) }),
      useBinaryFormat: true,
      sendCompression: null,
      acceptCompression: [compressionGzip, compressionBrotli],
      compressMinBytes: 0,
      readMaxBytes: leastBytes,
      writeMaxBytes: leastBytes,
    });

  return {
    unary(method, signal, timeoutMs, header, input, contextValues) {
      const isLarge =
        input instanceof ObjectUpload &&
        method.input.typeName === PushObjectRequestSchema.typeName &&
        input.byteLength >= leastBytes &&
        input.byteLength <= mostBytes;
      if (!isLarge) {
        return usual.unary(method, signal, timeoutMs, header, input, contextValues);
      }
      // The content is an accessor of the class, and no part of what a spread takes.
      const fields = { ...input };
      return sending(input.pieces).unary(method, signal, timeoutMs, header, fields, contextValues);
    },
    stream: usual.stream.bind(usual),
  };
}

/**
 * Puts the content behind the other fields of a framed PushObjectRequest, the frame's length included: it is the last
 * field (4), so these are the bytes that a whole message would have.
 */
async function* withContent(
  body: AsyncIterable<Uint8Array>,
  pieces: readonly Uint8Array[],
): AsyncGenerator<Uint8Array, void, undefined> {
  const bytes = lengthOf(pieces);
  const field = new BinaryWriter()
    .tag(contentNumber, WireType.LengthDelimited)
    .uint32(bytes)
    .finish();
  // One frame: a unary call has one message.
  for await (const frame of body) {
    const { buffer, byteOffset, byteLength } = frame;
    const view = new DataView(buffer, byteOffset, byteLength);
    view.setUint32(1, view.getUint32(1) + field.length + bytes);
    yield* inWrites([frame, field, ...pieces]);
  }
}

/** Joins what is small with its neighbours: a write waits for the one before it. */
function* inWrites(pieces: readonly Uint8Array[]): Generator<Uint8Array, void, undefined> {
  let small: Uint8Array[] = [];
  for (const piece of pieces) {
    if (lengthOf(small) + piece.length < leastBytes) {
      small.push(piece);
    } else {
      if (small.length > 0) {
        yield joinPieces(small);
      }
      yield piece;
      small = [];
    }
  }
  if (small.length > 0) {
    yield joinPieces(small);
  }
}
