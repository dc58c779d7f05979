import type { Message } from "@bufbuild/protobuf";
import type { ConnectRouterOptions } from "@connectrpc/connect";
import {
  type Compression,
  compressionNegotiate,
  createMethodSerializationLookup,
  type Serialization,
} from "@connectrpc/connect/protocol";
import type { UnaryRoute } from "../guard/unary-route.ts";
import type { Call } from "./call.ts";
import type { GrpcCodec } from "./media-type.ts";
import { UnaryCall, type UnaryCallOptions, type UnaryCoding } from "./unary-call.ts";

/** What the lean path needs. */
export interface UnaryPathOptions extends UnaryCallOptions {
  /** The compressions that connect's handlers have too, best first. */
  readonly compressions: readonly Compression[];
  /** Largest response message, in bytes. */
  readonly writeMaxBytes: number;
  /** How JSON is read and written. */
  readonly jsonOptions: ConnectRouterOptions["jsonOptions"];
  /** Whether anybody may call an RPC. */
  readonly isOpen: (route: UnaryRoute) => boolean;
}

/**
 * The lean path of one RPC: for unary gRPC and gRPC-web calls, straight from the
 * stream to the handler.
 *
 * @returns whether it has taken the call. What it does not cover is for connect's handlers.
 */
export type UnaryPath = (call: Call, codec: GrpcCodec) => boolean;

/** How many lists of accepted compressions are remembered. Each client library has its own. */
const maxRemembered = 64;

/** Makes the lean paths of RPCs. */
export function createUnaryPaths(options: UnaryPathOptions): (route: UnaryRoute) => UnaryPath {
  const compressionFor = rememberedNegotiation([...options.compressions]);
  return (route) => {
    const codings = new Map<GrpcCodec, UnaryCoding>();
    const codingOf = (codec: GrpcCodec): UnaryCoding => {
      const known = codings.get(codec);
      if (known !== undefined) {
        return known;
      }
      const coding = makeCoding(route, codec, options);
      codings.set(codec, coding);
      return coding;
    };
    return (call, codec) => {
      const { exchange } = call;
      const encoding = exchange.headers.get("grpc-encoding");
      const isCovered =
        (encoding === null || encoding === "identity") &&
        (codec.protocolName === "grpc-web" || exchange.httpVersion === "2.0");
      if (!isCovered) {
        return false;
      }
      const compression = compressionFor(exchange.headers.get("grpc-accept-encoding"));
      const unary = new UnaryCall(options, codingOf(codec), call, compression);
      exchange.onClose(() => unary.onClosed());
      unary.start();
      return true;
    };
  };
}

function makeCoding(route: UnaryRoute, codec: GrpcCodec, options: UnaryPathOptions): UnaryCoding {
  const { readMaxBytes } = route;
  const lookup = createMethodSerializationLookup(route.method, undefined, options.jsonOptions, {
    readMaxBytes,
    writeMaxBytes: options.writeMaxBytes,
  });
  const input: Serialization<Message> = lookup.getI(codec.isBinary);
  const output: Serialization<Message> = lookup.getO(codec.isBinary);
  return { route, codec, input, output, isTotalTime: options.isOpen(route) };
}

/** Chooses what an answer is compressed with, by the request's list of what it accepts. */
function rememberedNegotiation(
  available: Compression[],
): (accepted: string | null) => Compression | null {
  const remembered = new Map<string | null, Compression | null>();
  return (accepted) => {
    const known = remembered.get(accepted);
    if (known !== undefined) {
      return known;
    }
    const { response } = compressionNegotiate(available, null, accepted, "Grpc-Accept-Encoding");
    if (remembered.size < maxRemembered) {
      remembered.set(accepted, response);
    }
    return response;
  };
}
