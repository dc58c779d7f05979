import type { DescMethod } from "@bufbuild/protobuf";
import { MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt";

/** A protocol that the matrix speaks byte by byte, as no client library would. */
export type Protocol = "gRPC" | "gRPC-web" | "Connect binary" | "Connect JSON" | "Connect GET";

/** A version of HTTP. */
export type HttpVersion = "HTTP/1.1" | "HTTP/2";

/** One way of speaking: a protocol, how it frames a request's messages, and a version of HTTP. */
export interface Column {
  readonly protocol: Protocol;
  readonly httpVersion: HttpVersion;
  /** Whether each message has a prefix of five bytes: gRPC's always, Connect's in streams. */
  readonly isEnveloped: boolean;
  /** The content type of requests; undefined for GET. */
  readonly contentType: string | undefined;
  /** How reports call it, such as `Connect JSON stream, HTTP/2`. */
  readonly name: string;
}

interface Shape {
  readonly protocol: Protocol;
  readonly isEnveloped: boolean;
  readonly contentType?: string;
}

const shapes: readonly Shape[] = [
  { protocol: "gRPC", isEnveloped: true, contentType: "application/grpc" },
  { protocol: "gRPC-web", isEnveloped: true, contentType: "application/grpc-web+proto" },
  { protocol: "Connect binary", isEnveloped: false, contentType: "application/proto" },
  { protocol: "Connect binary", isEnveloped: true, contentType: "application/connect+proto" },
  { protocol: "Connect JSON", isEnveloped: false, contentType: "application/json" },
  { protocol: "Connect JSON", isEnveloped: true, contentType: "application/connect+json" },
  { protocol: "Connect GET", isEnveloped: false },
];

const httpVersions: readonly HttpVersion[] = ["HTTP/1.1", "HTTP/2"];

/** Every way of speaking that the matrix knows. */
export const columns: readonly Column[] = shapes.flatMap(({ protocol, isEnveloped, contentType }) =>
  httpVersions.map((httpVersion) => {
    const isStream = contentType?.startsWith("application/connect") === true;
    return {
      protocol,
      httpVersion,
      isEnveloped,
      contentType,
      name: `${protocol}${isStream ? " stream" : ""}, ${httpVersion}`,
    };
  }),
);

/**
 * Tells why a column does not serve an RPC; undefined if it does. Such a request
 * must be refused like any other: else its answer tells that there is such an RPC.
 */
export function misfitOf(method: DescMethod, column: Column): string | undefined {
  const { protocol, httpVersion, isEnveloped } = column;
  const isHttp1 = httpVersion === "HTTP/1.1";
  if (protocol === "gRPC" && isHttp1) {
    return "gRPC is defined on HTTP/2 only";
  }
  if (method.methodKind === "bidi_streaming" && isHttp1) {
    return "HTTP/1.1 cannot send and receive at once";
  }
  if (protocol === "Connect GET") {
    return method.methodKind === "unary" &&
      method.idempotency === MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS
      ? undefined
      : "Connect GET is for unary RPCs without side effects";
  }
  if (protocol.startsWith("Connect") && (method.methodKind === "unary") === isEnveloped) {
    return "Connect has one content type for unary RPCs and another for streams";
  }
  return undefined;
}
