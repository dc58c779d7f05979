import type { KeyObject } from "node:crypto";
import type { CallOptions } from "@connectrpc/connect";
import type {
  ListAppsToLaunchResponse,
  RequestTokenResponse,
} from "../../../gen/flwr/proto/appio_pb.ts";
import type { GetRunResponse } from "../../../gen/flwr/proto/run_pb.ts";
import type { LocatedTransport } from "../../client/located-transport.ts";
import { createOpenClient } from "../../client/open-client.ts";
import { createPartialClient } from "../../client/partial-client.ts";
import { parseToken, type Token } from "../../policy/token.ts";
import { signAsSuperExec } from "../credentials/super-exec-signer.ts";
import { openGrpc } from "../grpc-connection.ts";
import { callUnlessLost } from "../lost-connection.ts";
import {
  clientAppIoPolicy,
  serverAppIoPolicy,
  signedClientAppIoPolicy,
  signedServerAppIoPolicy,
} from "../policy.ts";
import { createRetry, type RetryOptions } from "../runtime/retry.ts";
import type { PluginType } from "./plugin-type.ts";

/** Where apps to launch are listed. */
export interface LaunchService {
  /** URL of the service to poll (ServerAppIo or ClientAppIo); the children get it too. */
  readonly appIo: string;
  /** How to reach the service. Default: gRPC to `appIo`. */
  readonly transport?: LocatedTransport;
  /**
   * The SuperExec's key, an EC key on a NIST curve: it signs every call, for services that let only known SuperExecs
   * launch apps. Default: calls are not signed.
   */
  readonly privateKey?: KeyObject;
  /** The clock of signatures, in milliseconds since the epoch. Default: `Date.now`. */
  readonly now?: () => number;
  /** How calls are repeated while the service is unavailable; see `createRetry`. */
  readonly retry?: RetryOptions;
}

/** The three RPCs of launchers that ServerAppIo and ClientAppIo share, each asked again while the service is unavailable. */
export interface LaunchClient {
  /** URL of the service for children on this machine. */
  readonly address: string;
  /** Runs that have an app to launch. */
  list(): Promise<readonly bigint[]>;
  /** The run's type; undefined when the run is unknown. */
  runType(runId: bigint): Promise<string | undefined>;
  /** Claims the run's app; undefined when it is claimed already. */
  claim(runId: bigint): Promise<Token | undefined>;
  close(): void;
}

interface LaunchRpcs {
  listAppsToLaunch(request: object, options: CallOptions): Promise<ListAppsToLaunchResponse>;
  requestToken(request: { runId: bigint }, options: CallOptions): Promise<RequestTokenResponse>;
  getRun(request: { runId: bigint }, options: CallOptions): Promise<GetRunResponse>;
}

/**
 * Connects to the service of a plugin type.
 *
 * @param signal ends calls and their repetition
 * @throws TypeError when "appIo" is no URL, or the key cannot sign or would do so in plaintext to another machine
 */
export function connectToLaunches(
  service: LaunchService,
  pluginType: PluginType,
  signal: AbortSignal,
): LaunchClient {
  const address = childAddress(service.appIo);
  const retry = createRetry(service.retry);
  const call = <T>(attempt: () => Promise<T>) =>
    retry.call(() => callUnlessLost(attempt, signal), signal);
  const { transport, close } =
    service.transport === undefined
      ? openGrpc(address)
      : { transport: service.transport, close: () => {} };
  const rpcs = launchRpcs(service, pluginType, transport);
  return {
    address,
    list: async () => (await call(() => rpcs.listAppsToLaunch({}, { signal }))).runIds,
    runType: async (runId) => (await call(() => rpcs.getRun({ runId }, { signal }))).run?.runType,
    claim: async (runId) => {
      const { token } = await call(() => rpcs.requestToken({ runId }, { signal }));
      return token === "" ? undefined : parseToken(token);
    },
    close,
  };
}

function launchRpcs(
  { privateKey, now = Date.now }: LaunchService,
  pluginType: PluginType,
  transport: LocatedTransport,
): LaunchRpcs {
  if (privateKey === undefined) {
    return pluginType === "serverapp"
      ? createOpenClient(serverAppIoPolicy, transport)
      : createOpenClient(clientAppIoPolicy, transport);
  }
  const superExecKey = signAsSuperExec(privateKey);
  return pluginType === "serverapp"
    ? createPartialClient(signedServerAppIoPolicy, transport, { superExecKey }, { now })
    : createPartialClient(signedClientAppIoPolicy, transport, { superExecKey }, { now });
}

/** A server that listens on every address is reached by this machine on loopback. */
function childAddress(appIo: string): string {
  const url = URL.parse(appIo);
  if (url === null || (url.protocol !== "http:" && url.protocol !== "https:")) {
    throw new TypeError('"appIo" must be an http: or https: URL, such as "http://127.0.0.1:9094"');
  }
  if (url.hostname === "0.0.0.0" || url.hostname === "[::]") {
    url.hostname = url.hostname === "[::]" ? "[::1]" : "127.0.0.1";
  }
  return url.origin;
}
