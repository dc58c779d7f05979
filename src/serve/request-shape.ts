import type { DescMethod } from "@bufbuild/protobuf";
import { MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt";

/**
 * How a request speaks, judged by its HTTP method, content type and query
 * alone, so that the judgement is the same for every path:
 * - `enveloped`: gRPC or gRPC-web, which serve every kind of RPC alike,
 * - `unary`: a unary Connect call by POST,
 * - `get`: a unary Connect call by GET,
 * - `stream`: a streaming Connect call.
 */
export type RequestShape = "enveloped" | "unary" | "get" | "stream";

/** The answer to what is no RPC request: an HTTP status. */
export type NoRequest = 405 | 415;

const json = "json(?:; ?charset=utf-?8)?";
// Stricter than connect in two places, where connect answers 415 although it
// accepted the type: gRPC-web's text variant, and a missing "+" after "connect".
const envelopedType = new RegExp(`^application/grpc(?:-web)?(?:\\+(?:${json}|proto))?$`, "i");
const unaryType = new RegExp(`^application/(?:${json}|proto)$`, "i");
const streamType = new RegExp(`^application/connect\\+(?:${json}|proto)$`, "i");

/**
 * Judges a request.
 *
 * @param target - the path with its query.
 * @returns how it speaks, or the status that answers what is no RPC request.
 */
export function shapeOf(
  httpMethod: string,
  contentType: string | null,
  target: string,
): RequestShape | NoRequest {
  const type = contentType ?? "";
  switch (httpMethod) {
    case "POST":
      if (envelopedType.test(type)) {
        return "enveloped";
      }
      if (unaryType.test(type)) {
        return "unary";
      }
      return streamType.test(type) ? "stream" : 415;
    case "GET":
      return (type === "" || unaryType.test(type)) && hasEncoding(target) ? "get" : 415;
    default:
      return 405;
  }
}

/** A Connect GET names its message's encoding in the query (connectrpc.com/docs/protocol). */
function hasEncoding(target: string): boolean {
  const queryAt = target.indexOf("?");
  if (queryAt === -1) {
    return false;
  }
  const encoding = new URLSearchParams(target.slice(queryAt)).get("encoding");
  return encoding === "proto" || encoding === "json";
}

/**
 * Tells whether connect serves an RPC in a shape, that is, whether a call gets
 * as far as the gate. Every other request it answers on its own before.
 */
export function isServable(method: DescMethod, shape: RequestShape, isHttp1: boolean): boolean {
  if (isHttp1 && method.methodKind === "bidi_streaming") {
    return false;
  }
  switch (shape) {
    case "enveloped":
      return true;
    case "unary":
      return method.methodKind === "unary";
    case "get":
      return (
        method.methodKind === "unary" &&
        method.idempotency === MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS
      );
    case "stream":
      return method.methodKind !== "unary";
  }
}
