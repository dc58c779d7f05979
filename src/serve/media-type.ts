import { parseContentType as parseGrpc } from "@connectrpc/connect/protocol-grpc";
import { parseContentType as parseGrpcWeb } from "@connectrpc/connect/protocol-grpc-web";
import { type NoRequest, type RequestShape, shapeOf } from "./request-shape.ts";

/** How a gRPC or gRPC-web call is coded. */
export interface GrpcCodec {
  readonly protocolName: "grpc" | "grpc-web";
  /** Whether messages are binary; they are JSON otherwise. */
  readonly isBinary: boolean;
  /** The content type of the answer. */
  readonly contentType: string;
}

/** What the content type of a POST says. */
export interface MediaType {
  readonly shape: RequestShape | NoRequest;
  /** Undefined unless the shape is `enveloped`. */
  readonly codec: GrpcCodec | undefined;
}

/** How many content types are remembered: more than are valid, but for their spelling. */
const maxRemembered = 64;

/** Makes what reads the content types of POSTs, and remembers what they say. */
export function createMediaTypeReader(): (contentType: string | null) => MediaType {
  const remembered = new Map<string | null, MediaType>();
  return (contentType) => {
    const known = remembered.get(contentType);
    if (known !== undefined) {
      return known;
    }
    const shape = shapeOf("POST", contentType, "");
    const media = { shape, codec: shape === "enveloped" ? codecOf(contentType) : undefined };
    if (remembered.size < maxRemembered) {
      remembered.set(contentType, media);
    }
    return media;
  };
}

function codecOf(contentType: string | null): GrpcCodec | undefined {
  const grpc = parseGrpc(contentType);
  if (grpc !== undefined) {
    return grpc.binary ? codecs.grpc : codecs.grpcJson;
  }
  const grpcWeb = parseGrpcWeb(contentType);
  if (grpcWeb !== undefined) {
    return grpcWeb.binary ? codecs.grpcWeb : codecs.grpcWebJson;
  }
  return undefined;
}

const codecs = {
  grpc: { protocolName: "grpc", isBinary: true, contentType: "application/grpc+proto" },
  grpcJson: { protocolName: "grpc", isBinary: false, contentType: "application/grpc+json" },
  grpcWeb: { protocolName: "grpc-web", isBinary: true, contentType: "application/grpc-web+proto" },
  grpcWebJson: {
    protocolName: "grpc-web",
    isBinary: false,
    contentType: "application/grpc-web+json",
  },
} as const satisfies Record<string, GrpcCodec>;
