import type { KeyObject } from "node:crypto";
import type { CallOptions } from "@connectrpc/connect";
import {
  type AuthenticatedClient,
  createAuthenticatedClient,
} from "../../client/authenticated-client.ts";
import type { LocatedTransport } from "../../client/located-transport.ts";
import { signAsSuperNode } from "../credentials/super-node-signer.ts";
import { type GrpcConnection, openGrpc } from "../grpc-connection.ts";
import { callUnlessLost } from "../lost-connection.ts";
import { fleetPolicy } from "../policy.ts";
import { createRetry, type RetryOptions } from "../runtime/retry.ts";

/** How a node reaches its SuperLink, with the repetition of contract 8.1 around every call. */
export interface FleetLink {
  /** Signs every call anew. */
  readonly client: AuthenticatedClient<typeof fleetPolicy>;
  /**
   * Makes a call, again and again while the SuperLink is unavailable, until the link's signal is aborted.
   *
   * @throws RunNotRunningError for PermissionDenied; any other error of `attempt` as it is
   */
  call<T>(attempt: (options: CallOptions) => Promise<T>): Promise<T>;
  /** Makes a call that matters little: once, for at most 5 s, unless the link's signal ends it before. */
  callOnce<T>(attempt: (options: CallOptions) => Promise<T>): Promise<T>;
  /** Makes one of the last calls: once, for at most 5 s, whatever the link's signal says. */
  lastCall<T>(attempt: (options: CallOptions) => Promise<T>): Promise<T>;
  /** Closes the connection that the link has opened itself. */
  close(): void;
}

/** What {@link connectToFleet} needs. */
export interface FleetLinkOptions {
  /** The SuperLink's Fleet: its URL (gRPC), or a transport to it. */
  readonly fleet: string | LocatedTransport;
  /** Whether signatures may travel in plaintext to another machine. Default: false. */
  readonly allowPlaintext?: boolean;
  /** Signs the node's calls. */
  readonly privateKey: KeyObject;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Ends calls and their repetition. */
  readonly signal: AbortSignal;
  /** How calls are repeated; see `createRetry`. */
  readonly retry?: RetryOptions;
}

const onceTimeoutMs = 5_000;

/**
 * Makes a {@link FleetLink}; nothing is sent yet.
 *
 * @throws TypeError when the key cannot sign, or the SuperLink would be reached in plaintext over a network without
 * `allowPlaintext`: a signature that somebody reads on the way is good for 305 s
 */
export function connectToFleet(options: FleetLinkOptions): FleetLink {
  const { fleet, privateKey, now, signal, allowPlaintext = false } = options;
  const retry = createRetry(options.retry);
  const sign = signAsSuperNode(privateKey);
  const { transport, close } =
    typeof fleet === "string" ? openGrpc(fleet, { allowPlaintext }) : borrowed(fleet);
  const client = createAuthenticatedClient(
    fleetPolicy,
    transport,
    { superNodeKey: sign, superNode: sign },
    { now },
  );
  return {
    client,
    call: (attempt) => retry.call(() => callUnlessLost(() => attempt({ signal }), signal), signal),
    callOnce: (attempt) => attempt({ signal, timeoutMs: onceTimeoutMs }),
    lastCall: (attempt) => attempt({ timeoutMs: onceTimeoutMs }),
    close,
  };
}

function borrowed(transport: LocatedTransport): GrpcConnection {
  return { transport, close: () => {} };
}
