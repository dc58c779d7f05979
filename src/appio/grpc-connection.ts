import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { type LocatedTransport, transportTo } from "../client/located-transport.ts";
import { createLeanGrpcTransport } from "./lean-grpc-transport.ts";
import { lostConnectionIsUnavailable } from "./lost-connection.ts";
import { createUploadTransport } from "./upload-transport.ts";

/** A gRPC connection of a process of ours. */
export interface GrpcConnection {
  readonly transport: LocatedTransport;
  /** Closes the connection; open calls fail. */
  close(): void;
}

/** Options of {@link openGrpc}. */
export interface GrpcConnectionOptions {
  /** Sends secrets in plaintext to hosts that are not loopback too. Default: false. */
  readonly allowPlaintext?: boolean;
}

/**
 * Memory that an HTTP/2 session may take, in MB. Objects of 5 MiB go up several
 * at a time, and node:http2 with its default of 10 resets a call that is
 * answered, refused for example, while more than that waits to be sent.
 */
const maxSessionMemory = 1_024;

/** Connects to a server over gRPC when the first call is made, and again when the connection was lost, which calls fail with as Unavailable. */
export function openGrpc(
  baseUrl: string,
  { allowPlaintext = false }: GrpcConnectionOptions = {},
): GrpcConnection {
  const sessionManager = new Http2SessionManager(baseUrl, undefined, { maxSessionMemory });
  const interceptors = [lostConnectionIsUnavailable];
  const connectTo = (options: { readonly baseUrl: string }) => {
    const connection = { baseUrl: options.baseUrl, sessionManager };
    const connect = createGrpcTransport({ ...connection, interceptors });
    const usual = createLeanGrpcTransport({ ...connection, connect });
    return createUploadTransport({ ...connection, interceptors, usual });
  };
  return {
    transport: transportTo(connectTo, { baseUrl, allowPlaintext }),
    close: () => sessionManager.abort(),
  };
}
