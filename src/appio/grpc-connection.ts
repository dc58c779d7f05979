import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { type LocatedTransport, transportTo } from "../client/located-transport.ts";
import { createLeanGrpcTransport } from "./lean-grpc-transport.ts";
import { lostConnectionIsUnavailable } from "./lost-connection.ts";
import { createUploadTransport } from "./upload-transport.ts";

/** A gRPC connection to a server of AppIo. */
export interface GrpcConnection {
  /** What clients, a Grid for example, are made with. */
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
 * Memory that an HTTP/2 session may take, in MB: the most that Node can be told.
 * Objects of 5 MiB go up several at a time. Over its limit, 10 by default, Node
 * resets calls that are answered, and some are never heard of again; and it
 * counts for ever what was still to be sent when a call was refused. The limit
 * protects from what others send; this is what we send ourselves.
 */
const maxSessionMemory = 2 ** 32 - 1;

/**
 * Connects to a server over gRPC when the first call is made, and again when the
 * connection was lost. Calls fail with Unavailable then; those of a Grid, of the
 * app runtimes and of nodes are made again. For large messages it is to be
 * preferred over connect's `createGrpcTransport`, which takes HTTP/2's memory
 * limit from Node: over 10 MB that wait to be sent, Node loses refusals there.
 */
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
