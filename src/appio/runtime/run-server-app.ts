import { type Client, Code, ConnectError } from "@connectrpc/connect";
import type { PullAppInputsResponse } from "../../../gen/flwr/proto/appio_pb.ts";
import type { RunStatus } from "../../../gen/flwr/proto/run_pb.ts";
import type { ServerAppIo } from "../../../gen/flwr/proto/serverappio_pb.ts";
import { createAuthenticatedClient } from "../../client/authenticated-client.ts";
import type { Token } from "../../policy/token.ts";
import { serverAppIoPolicy } from "../policy.ts";
import { type AppLifetime, beginLifetime } from "./app-lifetime.ts";
import { type AppRuntimeOptions, createAppRetry, startAppHeartbeat } from "./app-runtime.ts";
import { configFromScalars, fuseConfig } from "./config-values.ts";
import { type Context, contextFromProto, contextToProto } from "./context.ts";
import { Grid } from "./grid.ts";
import type { Heartbeat } from "./heartbeat.ts";
import { startLogUploader } from "./log-uploader.ts";
import type { Retry } from "./retry.ts";
import { isServerApp, type ServerApp } from "./server-app.ts";
import type { ServerAppGrid } from "./server-app-grid.ts";
import {
  endOfServerApp,
  finalStatusOf,
  type ServerAppEnd,
  type ServerAppOutcome,
  serverAppExitCodes,
} from "./server-app-outcome.ts";
import { sleep as sleepByTimer } from "./sleep.ts";
import { linesOfThrown } from "./thrown-text.ts";
import type { PullObjectsOptions } from "./transfer.ts";

/** What {@link runServerApp} needs; the service is a SuperLink's ServerAppIo. */
export interface RunServerAppOptions extends AppRuntimeOptions {
  /**
   * Called when the run has started, with a function that uploads text to the
   * run's log; returns what ends the capture. A process hooks its output in
   * here. Default: nothing is uploaded.
   */
  readonly captureLog?: (upload: (text: string) => void) => () => void;
  /** How often the grid asks for replies while it waits for them, in milliseconds. Default: 3000. */
  readonly replyPollMs?: number;
  /** How the grid pulls the objects of replies; see `pullObjects`. */
  readonly pulling?: PullObjectsOptions;
}

/** How long a call may take once the app has ended, in milliseconds: its process is about to end as well. */
const lastCallTimeoutMs = 5_000;

/** A run whose inputs have been pulled. */
interface StartedRun {
  readonly runId: bigint;
  readonly inputs: PullAppInputsResponse;
  readonly client: Client<typeof ServerAppIo>;
  readonly lifetime: AppLifetime;
  readonly retry: Retry;
}

/**
 * Runs the ServerApp of one run, from pulling its inputs to reporting its final
 * status (contract 8.4). How it ended is the result: it neither ends the
 * process nor throws, but for options that are wrong.
 *
 * Differs from Flower's process in one thing: a run that has started gets a
 * final status whatever the app threw, and when it was interrupted.
 *
 * @throws TypeError if the transport may not carry the token.
 */
export async function runServerApp(options: RunServerAppOptions): Promise<ServerAppOutcome> {
  const { transport, token } = options;
  const client = createAuthenticatedClient(serverAppIoPolicy, transport, { appToken: token });
  const lifetime = beginLifetime(options.signal);
  const { signal } = lifetime;
  const retry = createAppRetry(lifetime, options);
  const pull = () => client.pullAppInputs({ token }, { signal });
  try {
    const inputs = await lifetime.during(() => retry.call(pull, signal));
    const runId = inputs.run?.runId ?? inputs.context?.runId ?? 0n;
    const run = { runId, inputs, client, lifetime, retry };
    return await report(run, await runToEnd(run, options), options);
  } catch (error) {
    const end = endOfPull(error);
    logEnd(end, options);
    return outcomeOf(end, undefined, undefined);
  } finally {
    lifetime.release();
  }
}

/** Loads the app, runs it, stores its context, and uploads its log meanwhile. Never throws. */
async function runToEnd(run: StartedRun, options: RunServerAppOptions): Promise<ServerAppEnd> {
  const { runId, client } = run;
  const { onLog, captureLog, sleep = sleepByTimer } = options;
  const uploader = startLogUploader({
    push: async (logs) => {
      await client.pushLogs({ node: {}, runId, logs }, { timeoutMs: lastCallTimeoutMs });
    },
    onEnd: (error) => onLog?.(`The log is not uploaded any more: ${error.message}`),
    sleep,
  });
  let endCapture: (() => void) | undefined;
  let heartbeat: Heartbeat | undefined;
  let end: ServerAppEnd;
  try {
    endCapture = captureLog?.(uploader.add);
    const { app, grid, context } = await run.lifetime.during(() => prepare(run, options));
    heartbeat = startAppHeartbeat(client, run.lifetime, options);
    await runMain(run, options.token, app, grid, context);
    end = { kind: "completed" };
  } catch (error) {
    end = endOfServerApp(error);
  }
  await heartbeat?.stop();
  logEnd(end, options);
  endCapture?.();
  await uploader.stop();
  return end;
}

/** Runs the main function and stores the context as it left it. */
async function runMain(
  { runId, client, lifetime, retry }: StartedRun,
  token: Token,
  app: ServerApp,
  grid: ServerAppGrid,
  context: Context,
): Promise<void> {
  const { signal } = lifetime;
  await lifetime.during(() => app.run(grid, context, { signal }));
  const outputs = { token, runId, context: contextToProto(context) };
  await lifetime.during(() => retry.call(() => client.pushAppOutputs(outputs, { signal }), signal));
}

/** Makes what the main function is called with. */
async function prepare({ inputs, lifetime, retry }: StartedRun, options: RunServerAppOptions) {
  const { transport, token, loadApp, onLog, createSha256, replyPollMs, pulling } = options;
  const { sleep = sleepByTimer, random = Math.random } = options;
  const { run, fab, context: contextProto } = inputs;
  if (run === undefined || fab === undefined || contextProto === undefined) {
    throw new TypeError("the server sent no run, no app bundle or no context");
  }
  const { app, config = {} } = await loadApp(fab, run);
  if (!isServerApp(app)) {
    throw new TypeError("the bundle's server app must be a ServerApp: new ServerApp().main(...)");
  }
  const runConfig = fuseConfig(config, configFromScalars(run.overrideConfig));
  const context: Context = { ...contextFromProto(contextProto), runConfig };
  const grid = new Grid({
    transport,
    token,
    run,
    retry,
    signal: lifetime.signal,
    onWarning: (text) => onLog?.(text),
    sleep,
    random,
    ...(createSha256 === undefined ? {} : { createSha256 }),
    ...(replyPollMs === undefined ? {} : { pollIntervalMs: replyPollMs }),
    ...(pulling === undefined ? {} : { pulling }),
  });
  return { app, grid, context };
}

/** Sends the final status, in one try. Never throws. */
async function report(
  { runId, client }: StartedRun,
  end: ServerAppEnd,
  { onLog }: RunServerAppOptions,
): Promise<ServerAppOutcome> {
  const runStatus = finalStatusOf(end);
  if (runStatus === undefined) {
    return outcomeOf(end, runId, undefined);
  }
  try {
    await client.updateRunStatus({ runId, runStatus }, { timeoutMs: lastCallTimeoutMs });
    return outcomeOf(end, runId, runStatus);
  } catch (cause) {
    const error = ConnectError.from(cause);
    onLog?.(`The run's final status was not taken: ${error.message}`);
    // Somebody stopped the run when its app had come to its end already.
    const wasStopped = end.kind === "completed" && error.code === Code.PermissionDenied;
    return outcomeOf(wasStopped ? { kind: "run stopped" } : end, runId, undefined);
  }
}

function endOfPull(error: unknown): ServerAppEnd {
  return ConnectError.from(error).code === Code.FailedPrecondition
    ? { kind: "start rejected", error }
    : endOfServerApp(error);
}

function logEnd(end: ServerAppEnd, { onLog }: RunServerAppOptions): void {
  if (onLog !== undefined && "error" in end) {
    for (const line of linesOfThrown(`The ServerApp ended (${end.kind})`, end.error)) {
      onLog(line);
    }
  }
}

function outcomeOf(
  end: ServerAppEnd,
  runId: bigint | undefined,
  finalStatus: RunStatus | undefined,
): ServerAppOutcome {
  return { ...end, exitCode: serverAppExitCodes[end.kind], runId, finalStatus };
}
