import type { OutgoingHttpHeaders } from "node:http";
import { Code, ConnectError } from "@connectrpc/connect";
import type { Compression } from "@connectrpc/connect/protocol";
import { setTrailerStatus } from "@connectrpc/connect/protocol-grpc";
import { trailerFlag, trailerSerialize } from "@connectrpc/connect/protocol-grpc-web";
import { AnswerHead } from "./answer-head.ts";
import { type Envelope, prefixBytes } from "./envelope-reader.ts";
import { joinHeaders } from "./join-headers.ts";
import type { GrpcCodec } from "./media-type.ts";
import { outgoingHeaders } from "./outgoing-headers.ts";

/** Headers that an answer carries, whoever gives it. */
export type AnswerHeaders = readonly (readonly [string, string])[];

/** The headers of answers, made once for all calls that have them alike. */
export class AnswerHeads {
  readonly #known = new WeakMap<AnswerHeaders, Map<string, AnswerHead>>();

  /** Returns the headers of an answer to which no handler has added any. */
  plain(
    codec: GrpcCodec,
    compression: Compression | null,
    answerHeaders: AnswerHeaders,
  ): AnswerHead {
    let byContent = this.#known.get(answerHeaders);
    if (byContent === undefined) {
      byContent = new Map();
      this.#known.set(answerHeaders, byContent);
    }
    const key = compression === null ? codec.contentType : codec.contentType + compression.name;
    let head = byContent.get(key);
    if (head === undefined) {
      head = withAnswerHeaders(initialHeader(codec, compression), answerHeaders);
      byContent.set(key, head);
    }
    return head;
  }
}

/** What the headers of an answer begin with. */
export function initialHeader(codec: GrpcCodec, compression: Compression | null): Headers {
  const header = new Headers({ "content-type": codec.contentType });
  if (compression !== null) {
    header.set("grpc-encoding", compression.name);
  }
  return header;
}

/** Adds to a handler's headers those that every answer carries. */
export function withAnswerHeaders(header: Headers, answerHeaders: AnswerHeaders): AnswerHead {
  return new AnswerHead(outgoingHeaders(joinHeaders(header, answerHeaders)));
}

const okTrailers: OutgoingHttpHeaders = Object.freeze({ "grpc-status": "0" });
const okTrailerFrame = trailerSerialize(new Headers({ "grpc-status": "0" }));

/**
 * Returns the trailers of an answer.
 *
 * @param given - trailers that a handler may have set; undefined if none was asked for.
 * @param failure - what ended the call; undefined if nothing did.
 * @throws URIError if the error's text is no well-formed Unicode, as connect does.
 */
export function trailersOf(
  given: Headers | undefined,
  failure: ConnectError | undefined,
): OutgoingHttpHeaders {
  if (failure === undefined) {
    return given === undefined ? okTrailers : outgoingHeaders(given);
  }
  if (given === undefined && failure.details.length === 0 && isEmpty(failure.metadata)) {
    return {
      "grpc-message": encodeURIComponent(failure.rawMessage),
      "grpc-status": String(failure.code),
    };
  }
  return outgoingHeaders(setTrailerStatus(given ?? new Headers(), failure));
}

/** Like {@link trailersOf}, as the last frame of a gRPC-web body. */
export function trailerFrameOf(
  given: Headers | undefined,
  failure: ConnectError | undefined,
): Uint8Array {
  if (failure === undefined && given === undefined) {
    return okTrailerFrame;
  }
  const trailers = given ?? new Headers({ "grpc-status": "0" });
  return trailerSerialize(failure === undefined ? trailers : setTrailerStatus(trailers, failure));
}

/** The flags of a gRPC-web trailer frame. */
export const trailerFrameFlags: number = trailerFlag;

/**
 * Turns what ended a call into what its caller is told: nothing of an error
 * that is not meant for it. As for connect, a thrown `undefined` is no error.
 */
export function failureOf(reason: unknown): ConnectError | undefined {
  if (reason instanceof ConnectError || reason === undefined) {
    return reason;
  }
  return new ConnectError("internal error", Code.Internal, undefined, undefined, reason);
}

/** Puts a message with its flags before it. */
export function frameOf({ flags, data }: Envelope): Uint8Array {
  const bytes = Buffer.allocUnsafe(prefixBytes + data.length);
  bytes[0] = flags;
  bytes.writeUInt32BE(data.length, 1);
  bytes.set(data, prefixBytes);
  return bytes;
}

/** Puts messages with their flags into one piece of body. */
export function joinEnvelopes(envelopes: readonly Envelope[]): Uint8Array {
  let length = 0;
  for (const { data } of envelopes) {
    length += prefixBytes + data.length;
  }
  const bytes = Buffer.allocUnsafe(length);
  let at = 0;
  for (const { flags, data } of envelopes) {
    bytes[at] = flags;
    bytes.writeUInt32BE(data.length, at + 1);
    bytes.set(data, at + prefixBytes);
    at += prefixBytes + data.length;
  }
  return bytes;
}

function isEmpty(headers: Headers): boolean {
  return headers.keys().next().done === true;
}
