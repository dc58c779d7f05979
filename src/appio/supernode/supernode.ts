import type { KeyObject } from "node:crypto";
import { ClientAppIo } from "../../../gen/flwr/proto/clientappio_pb.ts";
import { createAuthority, openSqlite } from "../../authority/index.ts";
import type { LocatedTransport } from "../../client/located-transport.ts";
import type { DecisionCount, DecisionEvent } from "../../guard/decisions.ts";
import type { BrowserOptions } from "../../serve/browsers.ts";
import type { ServeTls } from "../../serve/listener.ts";
import { serve } from "../../serve/serve.ts";
import { assertSigningKey, generatePrivateKey } from "../credentials/private-key.ts";
import { createSuperExecVerifier, type SuperExecAuth } from "../credentials/super-exec-verifier.ts";
import { checkedPollInterval } from "../launch/poll-interval.ts";
import type { ConfigValues } from "../runtime/config-values.ts";
import {
  heartbeatCallTimeoutSeconds,
  heartbeatIntervalSeconds,
  startHeartbeat,
} from "../runtime/heartbeat.ts";
import type { RetryOptions } from "../runtime/retry.ts";
import type { PullObjectsOptions } from "../runtime/transfer.ts";
import { oversizeCode } from "../superlink/message-sizes.ts";
import { clientAppIoService, signedClientAppIoService } from "./client-app-io.ts";
import { connectToFleet, type FleetLink } from "./fleet-link.ts";
import { type NodeWork, textOf } from "./message-intake.ts";
import { createBell, runLoops } from "./node-loops.ts";
import { createNodeState, defaultMaxBundleBytes } from "./node-state.ts";
import { ReleaseStack } from "./release-stack.ts";

/** Options of {@link startSuperNode}. Intervals have Flower's values as defaults. */
export interface SuperNodeOptions {
  /**
   * The SuperLink's Fleet: its URL (gRPC), or a transport to it. Calls are signed, so plaintext is for this machine
   * only, unless `allowPlaintext` (or the transport) says otherwise.
   */
  readonly fleet: string | LocatedTransport;
  /** Whether signatures may travel in plaintext to another machine. Default: false. */
  readonly allowPlaintext?: boolean;
  /**
   * The node's key, an EC key on a NIST curve that the SuperLink knows already: the node does not register then.
   * Default: a new key on P-384, which the node registers, and unregisters at its end.
   */
  readonly privateKey?: KeyObject;
  /** Who may launch ClientApps. Default: whoever reaches the port of ClientAppIo. */
  readonly superExecAuth?: SuperExecAuth;
  /** Port of ClientAppIo; 0 lets the system choose. Default: 9094. */
  readonly clientAppIoPort?: number;
  /** Host that ClientAppIo listens on. Default: 127.0.0.1. */
  readonly host?: string;
  /**
   * Certificate and key for TLS on ClientAppIo; clients then connect under a name that the certificate is for.
   * Default: plaintext.
   */
  readonly tls?: ServeTls;
  /** Web pages that may call ClientAppIo, to answer messages in a browser. Default: none. */
  readonly browsers?: BrowserOptions;
  /** The node's own configuration, which its ClientApps see. Default: empty. */
  readonly nodeConfig?: ConfigValues;
  /** Pause after the SuperLink had no message, in milliseconds. Default: 3000. */
  readonly pollIntervalMs?: number;
  /** How often expired tokens are looked for while replies are awaited, in milliseconds. Default: 500. */
  readonly replyPollIntervalMs?: number;
  /** How many messages the node handles at a time. Default: 1, as Flower's node. */
  readonly maxConcurrentMessages?: number;
  /**
   * Bytes that app bundles may take. While they take more, the node drops those of runs that have no message here, the
   * one first that it has not used for the longest time, and fetches it again when a message comes. Default: 64 MiB.
   */
  readonly maxBundleBytes?: number;
  /** How objects are pulled from the SuperLink; see `pullObjects`. */
  readonly pulling?: PullObjectsOptions;
  /** How calls to the SuperLink are repeated; see `createRetry`. */
  readonly retry?: RetryOptions;
  /** Called for every refusal of the guard of ClientAppIo. Default: nobody. */
  readonly onDecision?: (event: DecisionEvent) => void;
  /** Receives the node's remarks, one line each. Default: nobody. */
  readonly onLog?: (line: string) => void;
  /** Milliseconds since the epoch. Default: `Date.now`. */
  readonly now?: () => number;
  /** Stops the node. */
  readonly signal?: AbortSignal;
}

/** A running SuperNode. */
export interface SuperNode {
  readonly nodeId: bigint;
  /** URL of the node's ClientAppIo, for SuperExecs and ClientApps. */
  readonly clientAppIoUrl: string;
  /** Settles when the node has ended: rejects when the SuperLink refused it. Need not be watched. */
  readonly ended: Promise<void>;
  /** Calls allowed and refused per RPC of ClientAppIo. */
  counters(): readonly DecisionCount[];
  /** Stops the node: no further messages, deactivation, unregistration; resolves when it has ended. Never rejects. */
  close(): Promise<void>;
}

/**
 * Starts a SuperNode (contract 8.8): serves ClientAppIo, joins the SuperLink under its key, and moves messages
 * and replies between the two until it is stopped. All that it knows is in memory; what belongs to a run goes when the
 * run has ended, or some minutes later. Waits for a SuperLink that is unavailable.
 *
 * @throws TypeError when an option is not usable
 * @throws Error when the port is taken; ConnectError when the SuperLink refuses the node; the reason of `signal` when it
 * is aborted first
 */
export async function startSuperNode(options: SuperNodeOptions): Promise<SuperNode> {
  const { maxConcurrentMessages = 1, now = Date.now, onLog = () => {} } = options;
  const { maxBundleBytes = defaultMaxBundleBytes } = options;
  if (!Number.isSafeInteger(maxBundleBytes) || maxBundleBytes < 0) {
    throw new TypeError('"maxBundleBytes" must be a whole number of bytes, 0 or more');
  }
  if (!Number.isInteger(maxConcurrentMessages) || maxConcurrentMessages < 1) {
    throw new TypeError('"maxConcurrentMessages" must be a positive integer');
  }
  const pollIntervalMs = checkedPollInterval("pollIntervalMs", options.pollIntervalMs ?? 3_000);
  const replyPollIntervalMs = checkedPollInterval(
    "replyPollIntervalMs",
    options.replyPollIntervalMs ?? 500,
  );
  const privateKey = options.privateKey ?? (await generatePrivateKey());
  const publicKey = new TextEncoder().encode(assertSigningKey(privateKey, '"privateKey"').pem);
  const superExecKey =
    options.superExecAuth && createSuperExecVerifier({ ...options.superExecAuth, now });
  const stopping = new AbortController();
  const signal = AbortSignal.any([stopping.signal, ...(options.signal ? [options.signal] : [])]);
  let failure: Error | undefined;
  const fail = (error: unknown) => {
    if (!signal.aborted) {
      failure = error instanceof Error ? error : new Error(textOf(error));
      stopping.abort(failure);
    }
  };
  await using opened = new ReleaseStack();

  const database = await openSqlite({ path: ":memory:" });
  opened.defer(() => database.close());
  const authority = await createAuthority({ database, now });
  const bell = createBell(signal);
  const { inbox, apps, runs } = await createNodeState({
    ...{ database, authority, now, maxBundleBytes },
    onReply: bell.ring,
  });

  const where = {
    port: options.clientAppIoPort ?? 9094,
    host: options.host ?? "127.0.0.1",
    limits: { exemptFromShedding: [ClientAppIo.method.sendAppHeartbeat], oversizeCode },
    ...(options.tls === undefined ? {} : { tls: options.tls }),
    ...(options.browsers === undefined ? {} : { browsers: options.browsers }),
    ...(options.onDecision === undefined ? {} : { onDecision: options.onDecision }),
  };
  const appToken = authority.verifier;
  const server =
    superExecKey === undefined
      ? await serve({
          ...where,
          services: [clientAppIoService({ apps, authority })],
          verifiers: { appToken },
        })
      : await serve({
          ...where,
          services: [signedClientAppIoService({ apps, authority })],
          verifiers: { appToken, superExecKey },
        });
  opened.defer(() => server.close());

  const fleet = connectToFleet({
    fleet: options.fleet,
    privateKey,
    now,
    signal,
    allowPlaintext: options.allowPlaintext ?? false,
    ...(options.retry ? { retry: options.retry } : {}),
  });
  opened.defer(() => fleet.close());
  const nodeId = await join({
    fleet,
    publicKey,
    registers: options.privateKey === undefined,
    opened,
    onLog,
  });

  const work: NodeWork = {
    fleet,
    inbox,
    runs,
    nodeId,
    nodeConfig: options.nodeConfig ?? {},
    pulling: options.pulling ?? {},
    signal,
    onLog,
  };
  const heartbeat = startHeartbeat({
    beat: async (ending) => {
      const { success } = await fleet.client.sendNodeHeartbeat(
        { node: { nodeId }, heartbeatInterval: heartbeatIntervalSeconds },
        { signal: ending, timeoutMs: heartbeatCallTimeoutSeconds * 1000 },
      );
      return success;
    },
    onLost: () => fail(new Error("The SuperLink does not know this node any more.")),
    onFailure: (error) => onLog(`A heartbeat failed: ${error.message}`),
  });
  opened.defer(() => heartbeat.stop());

  const loops = runLoops(work, bell, {
    pollIntervalMs,
    replyPollIntervalMs,
    maxConcurrentMessages,
  });
  const resources = opened.move();
  const ended = (async () => {
    await Promise.all(loops.map((loop) => loop.catch(fail)));
    await resources[Symbol.asyncDispose]();
    if (failure !== undefined) {
      throw failure;
    }
  })();
  ended.catch(() => {});
  return {
    nodeId,
    clientAppIoUrl: server.url,
    ended,
    counters: () => server.counters(),
    close() {
      stopping.abort(new Error("The node was stopped."));
      return ended.catch(() => {});
    },
  };
}

interface Joining {
  readonly fleet: FleetLink;
  readonly publicKey: Uint8Array;
  /** Whether the node registers itself. */
  readonly registers: boolean;
  readonly opened: ReleaseStack;
  readonly onLog: (line: string) => void;
}

/** Registers and activates the node, and defers the opposite of both. Returns the node's id. */
async function join({ fleet, publicKey, registers, opened, onLog }: Joining): Promise<bigint> {
  const { client } = fleet;
  const heartbeatInterval = heartbeatIntervalSeconds;
  const lastly = (what: string, attempt: () => Promise<unknown>) =>
    opened.defer(async () => {
      await attempt().catch((error) => onLog(`Could not ${what} the node: ${textOf(error)}`));
    });
  if (registers) {
    const { nodeId } = await fleet.call((call) => client.registerNode({ publicKey }, call));
    lastly("unregister", () => fleet.lastCall((call) => client.unregisterNode({ nodeId }, call)));
  }
  const { nodeId } = await fleet.call((call) =>
    client.activateNode({ publicKey, heartbeatInterval }, call),
  );
  lastly("deactivate", () => fleet.lastCall((call) => client.deactivateNode({ nodeId }, call)));
  return nodeId;
}
