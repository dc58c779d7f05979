import type { CallOptions, Transport } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { createOpenClient, type OpenClient } from "../../client/open-client.ts";
import { fleetPolicy } from "../policy.ts";
import { createRetry, type RetryOptions } from "../runtime/retry.ts";

/** How a node reaches its SuperLink, with the repetition of contract 8.1 around every call. */
export interface FleetLink {
  readonly client: OpenClient<typeof fleetPolicy>;
  /**
   * Makes a call, again and again while the SuperLink is unavailable, until the link's signal is aborted.
   *
   * @throws RunNotRunningError for PermissionDenied; any other error of `attempt` as it is
   */
  call<T>(attempt: (options: CallOptions) => Promise<T>): Promise<T>;
  /** Makes one of the last calls: once, for at most 5 s, whatever the link's signal says. */
  lastCall<T>(attempt: (options: CallOptions) => Promise<T>): Promise<T>;
  /** Closes the connection that the link has opened itself. */
  close(): void;
}

/** What {@link connectToFleet} needs. */
export interface FleetLinkOptions {
  /** The SuperLink's Fleet: its URL (gRPC), or a transport to it. */
  readonly fleet: string | Transport;
  /** Ends calls and their repetition. */
  readonly signal: AbortSignal;
  /** How calls are repeated; see `createRetry`. */
  readonly retry?: RetryOptions;
}

const lastCallTimeoutMs = 5_000;

/** Makes a {@link FleetLink}; nothing is sent yet. */
export function connectToFleet(options: FleetLinkOptions): FleetLink {
  const { fleet, signal } = options;
  const retry = createRetry(options.retry);
  const { transport, close } = typeof fleet === "string" ? openGrpc(fleet) : borrowed(fleet);
  const client = createOpenClient(fleetPolicy, transport);
  return {
    client,
    call: (attempt) => retry.call(() => attempt({ signal }), signal),
    lastCall: (attempt) => attempt({ timeoutMs: lastCallTimeoutMs }),
    close,
  };
}

function openGrpc(baseUrl: string): { transport: Transport; close: () => void } {
  const sessionManager = new Http2SessionManager(baseUrl);
  return {
    transport: createGrpcTransport({ baseUrl, sessionManager }),
    close: () => sessionManager.abort(),
  };
}

function borrowed(transport: Transport): { transport: Transport; close: () => void } {
  return { transport, close: () => {} };
}
