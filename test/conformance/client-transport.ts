import { setDefaultCACertificates } from "node:tls";
import * as node from "@connectrpc/connect-node";
import * as web from "@connectrpc/connect-web";
import { type LocatedTransport, transportTo } from "countersign";
import type { ClientCompatRequest } from "./gen/connectrpc/conformance/v1/client_compat_pb.ts";
import {
  Codec,
  Compression,
  HTTPVersion,
  Protocol,
} from "./gen/connectrpc/conformance/v1/config_pb.ts";
import { registry } from "./wire-values.ts";

/** Makes the transport that a test case asks for, or hands out the one made before. */
export type TransportFor = (request: ClientCompatRequest) => LocatedTransport;

/** Transports of connect-node, which speak all protocols over both versions of HTTP. */
export function nodeTransports(): TransportFor {
  return cached((request) => {
    const options = {
      ...commonOptions(request),
      httpVersion: request.httpVersion === HTTPVersion.HTTP_VERSION_1 ? "1.1" : "2",
      ...compressionOf(request.compression),
      // The runner wants empty messages compressed as well.
      compressMinBytes: -1,
      readMaxBytes: request.messageReceiveLimit,
      nodeOptions: tlsOptions(request),
    } as const;
    switch (request.protocol) {
      case Protocol.CONNECT:
        return transportTo(node.createConnectTransport, {
          ...options,
          useHttpGet: request.useGetHttpMethod,
        });
      case Protocol.GRPC:
        // gRPC is always over HTTP/2.
        return transportTo(node.createGrpcTransport, options);
      case Protocol.GRPC_WEB:
        return transportTo(node.createGrpcWebTransport, options);
      default:
        throw new Error(`there is no transport for protocol ${request.protocol}`);
    }
  });
}

/** Transports of connect-web over Node's fetch, which speaks HTTP/1.1. */
export function webTransports(): TransportFor {
  return cached((request) => {
    if (request.serverTlsCert.length > 0) {
      setDefaultCACertificates([Buffer.from(request.serverTlsCert)]);
    }
    switch (request.protocol) {
      case Protocol.CONNECT:
        return transportTo(web.createConnectTransport, {
          ...commonOptions(request),
          useHttpGet: request.useGetHttpMethod,
        });
      case Protocol.GRPC_WEB:
        return transportTo(web.createGrpcWebTransport, commonOptions(request));
      default:
        throw new Error(`there is no transport for protocol ${request.protocol}`);
    }
  });
}

/** A transport keeps its connection, which cases with the same demands share. */
function cached(make: TransportFor): TransportFor {
  const made = new Map<string, LocatedTransport>();
  return (request) => {
    const { httpVersion, protocol, codec, compression, port, messageReceiveLimit } = request;
    const demands = [httpVersion, protocol, codec, compression, port, messageReceiveLimit];
    const key = [...demands, request.useGetHttpMethod].join();
    const transport = made.get(key) ?? make(request);
    made.set(key, transport);
    return transport;
  };
}

function commonOptions({ serverTlsCert, host, port, codec }: ClientCompatRequest) {
  return {
    baseUrl: `${serverTlsCert.length > 0 ? "https" : "http"}://${host}:${port}`,
    useBinaryFormat: codec === Codec.PROTO,
    jsonOptions: { registry },
  };
}

function tlsOptions({ serverTlsCert, clientTlsCreds }: ClientCompatRequest) {
  if (serverTlsCert.length === 0) {
    return {};
  }
  return {
    ca: Buffer.from(serverTlsCert),
    ...(clientTlsCreds === undefined
      ? {}
      : { cert: Buffer.from(clientTlsCreds.cert), key: Buffer.from(clientTlsCreds.key) }),
  };
}

function compressionOf(compression: Compression) {
  switch (compression) {
    case Compression.GZIP:
      return used(node.compressionGzip);
    case Compression.BR:
      return used(node.compressionBrotli);
    case Compression.UNSPECIFIED:
    case Compression.IDENTITY:
      return { acceptCompression: [] };
    default:
      throw new Error(`there is no compression ${compression}`);
  }
}

function used(compression: typeof node.compressionGzip) {
  return { sendCompression: compression, acceptCompression: [compression] };
}
