import { ConnectError } from "@connectrpc/connect";
import type { Token } from "../../policy/token.ts";
import { sleep } from "../runtime/sleep.ts";
import type { ChildExit, ChildHandle } from "./child.ts";
import { connectToLaunches, type LaunchClient, type LaunchService } from "./launch-client.ts";
import type { AppType, PluginType } from "./plugin-type.ts";
import { checkedPollInterval } from "./poll-interval.ts";

/** What a launcher is told about the app to start. The token is not shown when this object is inspected. */
export interface LaunchRequest {
  readonly pluginType: PluginType;
  /** What to start: the plugin type, or a simulation for runs of that type. */
  readonly appType: AppType;
  readonly runId: bigint;
  /** URL of the AppIo service, as a child on this machine can reach it. */
  readonly address: string;
  readonly token: Token;
}

/** What happened in a SuperExec, for logs. Never holds a token. */
export type SuperExecEvent =
  | { readonly kind: "launched"; readonly runId: bigint; readonly pid: number | undefined }
  | { readonly kind: "exited"; readonly runId: bigint; readonly exit: ChildExit }
  /** A listed app was not launched; told once for as long as the app stays listed and the reason stays the same. */
  | { readonly kind: "skipped"; readonly runId: bigint; readonly reason: string };

/** Options of {@link runSuperExec}. */
export interface SuperExecOptions extends LaunchService {
  readonly pluginType: PluginType;
  /** Starts one app process, which owns the token from then on. */
  readonly launch: (request: LaunchRequest) => ChildHandle;
  /** Time between two polls, in milliseconds; default 1000 as Flower's. */
  readonly pollIntervalMs?: number;
  /** How many children may run at a time; default: no limit, as in Flower. */
  readonly maxConcurrent?: number;
  /** Told of every launch, exit and refusal; must not throw. Default: nobody. */
  readonly onEvent?: (event: SuperExecEvent) => void;
  /** Ends the loop and stops the children. */
  readonly signal: AbortSignal;
}

/**
 * Polls an AppIo service for apps to launch, claims each with a token of its own and starts one child process per
 * token (contract 8.7), until `signal` is aborted and all children are gone.
 *
 * Unlike Flower's loop it tries every listed app, not only the first, and looks at a run's type before it claims it:
 * a claim that launches nothing lets the run fail.
 *
 * @throws TypeError when an option is not usable
 * @throws ConnectError when the service refuses to list apps; a service that is unavailable is asked again
 */
export async function runSuperExec(options: SuperExecOptions): Promise<void> {
  const {
    pluginType,
    launch,
    pollIntervalMs = 1_000,
    maxConcurrent = Number.POSITIVE_INFINITY,
  } = options;
  const { onEvent = () => {}, signal } = options;
  checkedPollInterval("pollIntervalMs", pollIntervalMs);
  if (!(maxConcurrent >= 1)) {
    throw new TypeError('"maxConcurrent" must be at least 1');
  }
  const client = connectToLaunches(options, pluginType, signal);
  const children = new Set<ChildHandle>();
  const skipped = new Map<bigint, string>();

  async function tryLaunch(runId: bigint): Promise<void> {
    const claim = await claimApp(client, pluginType, runId, signal);
    if (typeof claim === "string") {
      return skip(runId, claim);
    }
    let child: ChildHandle;
    try {
      child = launch(new ClaimedApp(pluginType, claim.appType, runId, client.address, claim.token));
    } catch (error) {
      return skip(runId, `launch failed: ${error instanceof Error ? error.message : "unknown"}`);
    }
    skipped.delete(runId);
    children.add(child);
    onEvent({ kind: "launched", runId, pid: child.pid });
    void child.exited.then((exit) => {
      children.delete(child);
      onEvent({ kind: "exited", runId, exit });
    });
  }

  function skip(runId: bigint, reason: string): void {
    if (skipped.get(runId) !== reason) {
      skipped.set(runId, reason);
      onEvent({ kind: "skipped", runId, reason });
    }
  }

  async function poll(): Promise<void> {
    const listed = await client.list();
    for (const runId of skipped.keys()) {
      if (!listed.includes(runId)) {
        skipped.delete(runId);
      }
    }
    for (const runId of listed) {
      if (signal.aborted || children.size >= maxConcurrent) {
        return;
      }
      await tryLaunch(runId);
    }
  }

  try {
    while (!signal.aborted) {
      await poll();
      await sleep(pollIntervalMs, signal);
    }
  } catch (error) {
    if (!signal.aborted) {
      throw error;
    }
  } finally {
    await Promise.all([...children].map((child) => child.stop()));
    client.close();
  }
}

/** Claims one app; a string says why it was not claimed. */
async function claimApp(
  client: LaunchClient,
  pluginType: PluginType,
  runId: bigint,
  signal: AbortSignal,
): Promise<{ readonly appType: AppType; readonly token: Token } | string> {
  try {
    let appType: AppType = pluginType;
    if (pluginType === "serverapp") {
      const runType = await client.runType(runId);
      if (runType !== "serverapp" && runType !== "simulation") {
        return `run type ${JSON.stringify(runType ?? "unknown")} is not launched here`;
      }
      appType = runType;
    }
    const token = await client.claim(runId);
    return token === undefined ? "claimed by another" : { appType, token };
  } catch (error) {
    if (signal.aborted) {
      return "stopping";
    }
    // One run's trouble must not keep the others from being launched.
    return ConnectError.from(error).message;
  }
}

class ClaimedApp implements LaunchRequest {
  readonly pluginType: PluginType;
  readonly appType: AppType;
  readonly runId: bigint;
  readonly address: string;
  readonly #token: Token;

  constructor(
    pluginType: PluginType,
    appType: AppType,
    runId: bigint,
    address: string,
    token: Token,
  ) {
    this.pluginType = pluginType;
    this.appType = appType;
    this.runId = runId;
    this.address = address;
    this.#token = token;
  }

  get token(): Token {
    return this.#token;
  }
}
