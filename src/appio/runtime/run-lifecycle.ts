import { Code, ConnectError } from "@connectrpc/connect";
import type { PullAppInputsResponse } from "../../../gen/flwr/proto/appio_pb.ts";
import type { RunStatus } from "../../../gen/flwr/proto/run_pb.ts";
import { type AppLifetime, beginLifetime } from "./app-lifetime.ts";
import { createAppRetry, type RuntimeOptions, startAppHeartbeat } from "./app-runtime.ts";
import { type Context, contextToProto } from "./context.ts";
import type { Heartbeat } from "./heartbeat.ts";
import { startLogUploader } from "./log-uploader.ts";
import { createRetry, type Retry, RunNotRunningError } from "./retry.ts";
import type { RunConnection, RunConnectionOptions } from "./run-connection.ts";
import type { ServerApp } from "./server-app.ts";
import type { ServerAppGrid } from "./server-app-grid.ts";
import {
  endOfServerApp,
  finalStatusOf,
  type ServerAppEnd,
  type ServerAppOutcome,
} from "./server-app-outcome.ts";
import { sleep as sleepByTimer } from "./sleep.ts";
import { linesOfThrown } from "./thrown-text.ts";
import { type UnhandledErrors, watchUnhandled } from "./unhandled-errors.ts";

/** What the runtimes of ServerApps and of simulations need. */
export interface RunOptions extends RuntimeOptions {
  /**
   * Called when the run has started, with a function that uploads text to the
   * run's log; returns what ends the capture. A process hooks its output in
   * here. Default: nothing is uploaded.
   */
  readonly captureLog?: (upload: (text: string) => void) => () => void;
}

/** A run whose inputs have been pulled. */
export interface StartedRun<C extends RunConnection = RunConnection> {
  readonly runId: bigint;
  readonly inputs: PullAppInputsResponse;
  readonly connection: C;
  readonly lifetime: AppLifetime;
  /** Repeats the run's calls while the server is unavailable. */
  readonly retry: Retry;
  readonly unhandled: UnhandledErrors;
}

/** A ServerApp that can be run, and what its main function is called with. */
export interface PreparedRun {
  readonly app: ServerApp;
  readonly grid: ServerAppGrid;
  readonly context: Context;
  /** Ends what works for the grid. Called as soon as the app has ended, however it did. */
  readonly release?: () => Promise<void>;
}

/** What the kinds of runs do differently. */
export interface RunKind<C extends RunConnection> {
  /** What the log calls it, such as `ServerApp`. */
  readonly title: string;
  readonly exitCodes: Readonly<Record<ServerAppEnd["kind"], number>>;
  /** The node that the run's log comes from; 0 for none. */
  logNodeId(inputs: PullAppInputsResponse): bigint;
  /**
   * The longest pause between two heartbeats, in milliseconds; for apps whose
   * other calls would not find out that the run was stopped. Default: Flower's.
   */
  readonly maxHeartbeatMs?: number;
  connect(options: RunConnectionOptions): C;
  /** Loads the app; what it throws is the run's failure. */
  prepare(run: StartedRun<C>): Promise<PreparedRun>;
}

/** How long a call may take once the app has ended, in milliseconds: its process is about to end as well. */
const lastCallTimeoutMs = 5_000;
/** How often the final status is sent to a server that is unavailable. */
const lastCallTries = 5;

/**
 * Executes one run, from pulling its inputs to reporting its final status
 * (contract 8.4, 8.5). How it ended is the result: it neither ends the process
 * nor throws, but for options that are wrong.
 *
 * @throws TypeError if the token is missing or the transport may not carry it.
 */
export async function executeRun<C extends RunConnection>(
  kind: RunKind<C>,
  options: RunOptions,
): Promise<ServerAppOutcome> {
  const { transport, token } = options;
  const lifetime = beginLifetime(options.signal);
  const { signal } = lifetime;
  const unhandled = watchUnhandled(options);
  try {
    const retry = createAppRetry(lifetime, options);
    const connection = kind.connect({ transport, token, retry });
    let run: StartedRun<C>;
    try {
      const inputs = await lifetime.during(() => connection.pullAppInputs({ signal }));
      const runId = inputs.run?.runId ?? inputs.context?.runId ?? 0n;
      run = { runId, inputs, connection, lifetime, retry, unhandled };
    } catch (error) {
      const end = endOfPull(error);
      logEnd(kind, end, options);
      return outcomeOf(kind, end, undefined, undefined);
    }
    return await report(kind, run, await runToEnd(kind, run, options), options);
  } finally {
    unhandled.release();
    lifetime.release();
  }
}

/** Loads the app, runs it, stores its context, and uploads its log meanwhile. Never throws. */
async function runToEnd<C extends RunConnection>(
  kind: RunKind<C>,
  run: StartedRun<C>,
  options: RunOptions,
): Promise<ServerAppEnd> {
  const { runId, inputs, connection, lifetime, unhandled } = run;
  const { onLog, captureLog, sleep = sleepByTimer } = options;
  const nodeId = kind.logNodeId(inputs);
  const uploader = startLogUploader({
    push: (lines) => connection.pushLogs(runId, nodeId, lines, { timeoutMs: lastCallTimeoutMs }),
    onEnd: (error) => onLog?.(`The log is not uploaded any more: ${error.message}`),
    sleep,
  });
  let endCapture: (() => void) | undefined;
  let heartbeat: Heartbeat | undefined;
  let end: ServerAppEnd;
  try {
    endCapture = captureLog?.(uploader.add);
    const prepared = await lifetime.during(() => unhandled.during(() => kind.prepare(run)));
    heartbeat = startAppHeartbeat(connection, lifetime, {
      ...options,
      sleep: (ms, signal) => sleep(Math.min(ms, kind.maxHeartbeatMs ?? ms), signal),
    });
    await runMain(run, prepared);
    end = { kind: "completed" };
  } catch (error) {
    end = endOfServerApp(error);
  }
  await heartbeat?.stop();
  logEnd(kind, end, options);
  endCapture?.();
  await uploader.stop();
  return end;
}

/** Runs the main function and stores the context as it left it. */
async function runMain(
  { runId, connection, lifetime, unhandled }: StartedRun,
  { app, grid, context, release }: PreparedRun,
): Promise<void> {
  const { signal } = lifetime;
  try {
    await lifetime.during(() => unhandled.during(() => app.run(grid, context, { signal })));
  } finally {
    await release?.();
  }
  const outputs = contextToProto(context);
  await lifetime.during(() => connection.pushAppOutputs(runId, outputs, { signal }));
}

/**
 * Sends the final status. Never throws. Flower tries once, but a run must not fail for want of its last call: a
 * SuperLink that is just being replaced is asked again, for as long as a call may take.
 */
async function report<C extends RunConnection>(
  kind: RunKind<C>,
  { runId, connection }: StartedRun<C>,
  end: ServerAppEnd,
  { onLog, sleep = sleepByTimer, random = Math.random }: RunOptions,
): Promise<ServerAppOutcome> {
  const runStatus = finalStatusOf(end);
  if (runStatus === undefined) {
    return outcomeOf(kind, end, runId, undefined);
  }
  try {
    const timeoutMs = lastCallTimeoutMs;
    const retry = createRetry({ maxTries: lastCallTries, maxTimeMs: timeoutMs, sleep, random });
    await retry.call(() => connection.updateRunStatus(runId, runStatus, { timeoutMs }));
    return outcomeOf(kind, end, runId, runStatus);
  } catch (cause) {
    onLog?.(`The run's final status was not taken: ${ConnectError.from(cause).message}`);
    // Somebody stopped the run when its app had come to its end already.
    const wasStopped = end.kind === "completed" && cause instanceof RunNotRunningError;
    return outcomeOf(kind, wasStopped ? { kind: "run stopped" } : end, runId, undefined);
  }
}

function endOfPull(error: unknown): ServerAppEnd {
  return ConnectError.from(error).code === Code.FailedPrecondition
    ? { kind: "start rejected", error }
    : endOfServerApp(error);
}

function logEnd(
  { title }: { readonly title: string },
  end: ServerAppEnd,
  { onLog }: RunOptions,
): void {
  if (onLog !== undefined && "error" in end) {
    for (const line of linesOfThrown(`The ${title} ended (${end.kind})`, end.error)) {
      onLog(line);
    }
  }
}

function outcomeOf(
  { exitCodes }: { readonly exitCodes: Readonly<Record<ServerAppEnd["kind"], number>> },
  end: ServerAppEnd,
  runId: bigint | undefined,
  finalStatus: RunStatus | undefined,
): ServerAppOutcome {
  return { ...end, exitCode: exitCodes[end.kind], runId, finalStatus };
}
