import { createHash } from "node:crypto";
import { availableParallelism } from "node:os";
import { Code, ConnectError } from "@connectrpc/connect";
import type { PullAppInputsResponse } from "../../../../gen/flwr/proto/appio_pb.ts";
import type { Fab } from "../../../../gen/flwr/proto/fab_pb.ts";
import type { Run } from "../../../../gen/flwr/proto/run_pb.ts";
import type { ConfigRecord } from "../../objects/config-record.ts";
import type { ConfigValues } from "../../runtime/config-values.ts";
import { assertInputs, serverAppWithContext } from "../../runtime/run-inputs.ts";
import {
  executeRun,
  type PreparedRun,
  type RunOptions,
  type StartedRun,
} from "../../runtime/run-lifecycle.ts";
import { type ServerAppOutcome, serverAppExitCodes } from "../../runtime/server-app-outcome.ts";
import { SimulationIoConnection } from "../../runtime/simulation-io.ts";
import { parseSimulationOptions, workersFor } from "../../runtime/simulation-options.ts";
import { sleep as sleepByTimer } from "../../runtime/sleep.ts";
import { federationOptionsOf } from "../../state/simulation-config.ts";
import { SimulationGrid } from "./simulation-grid.ts";
import { createVirtualNodes } from "./virtual-nodes.ts";
import { createWorkerPool, type WorkerPool } from "./worker-pool.ts";
import { startWorkerThread, type WorkerThreadOptions } from "./worker-thread.ts";

/** What loading the apps of a simulation from their bundle gives. */
export interface SimulatedApps {
  /** What the bundle's module exports as its ServerApp; the runtime checks that it is one. */
  readonly serverApp: unknown;
  /** URL of the module whose default export is the ClientApp: each worker thread imports it itself. */
  readonly clientAppUrl: string;
  /** The bundle's default configuration, with flat keys. Default: none. */
  readonly config?: ConfigValues;
}

/** What {@link runSimulation} needs; the service is a SuperLink's ServerAppIo. */
export interface RunSimulationOptions extends RunOptions {
  /** Installs the bundle that the service sends. What it throws is reported as the run's failure. */
  readonly loadApps: (fab: Fab, run: Run) => SimulatedApps | Promise<SimulatedApps>;
  /**
   * How many worker threads run ClientApps. Default: as many as the run's
   * federation options ask for, or one per CPU (`availableParallelism`).
   */
  readonly workers?: number;
  /** How the worker threads are started. */
  readonly workerThreads?: Omit<WorkerThreadOptions, "clientAppUrl">;
  /** The longest pause between two heartbeats, by which a stopped run is noticed, in milliseconds. Default: 3000. */
  readonly maxHeartbeatMs?: number;
  /**
   * How long the run's end waits for worker threads that block in native code,
   * such as `execSync`, and cannot be ended, in milliseconds. Default: 5000, as
   * Flower's forced exit.
   */
  readonly threadGraceMs?: number;
  /** The clock of messages, in milliseconds since 1970. Default: `Date.now`. */
  readonly now?: () => number;
}

/**
 * Flower's exit codes of simulations (contract 8.5): those of a ServerApp, but
 * 700 where the run has failed or was not let start.
 */
export const simulationExitCodes: typeof serverAppExitCodes = {
  ...serverAppExitCodes,
  failed: 700,
  "start rejected": 700,
};

/**
 * Simulates one run: its ServerApp in this thread, and as many virtual nodes as
 * the run's federation options name, whose ClientApps run in worker threads
 * (contract 8.5). How it ended is the result: it neither ends the process nor
 * throws, but for options that are wrong. When it resolves, no thread of it is
 * left but those that "threadGraceMs" was too short for.
 *
 * Threads stand for processes, but not entirely: what a ClientApp's module
 * keeps to itself, the nodes of one thread share, and a fault in native code
 * ends the whole process.
 *
 * @throws TypeError if the token is missing or the transport may not carry it,
 * or "workers" is no positive integer.
 */
export async function runSimulation(options: RunSimulationOptions): Promise<ServerAppOutcome> {
  const { workers, maxHeartbeatMs = 3_000 } = options;
  if (workers !== undefined && !(Number.isInteger(workers) && workers > 0)) {
    throw new TypeError(`"workers" must be a positive integer, not ${workers}`);
  }
  return executeRun(
    {
      title: "simulation",
      exitCodes: simulationExitCodes,
      logNodeId: ({ context }) => context?.nodeId ?? 0n,
      maxHeartbeatMs,
      connect: (connection) => new SimulationIoConnection(connection),
      prepare: (run) => prepare(run, options),
    },
    options,
  );
}

async function prepare(
  { runId, inputs, connection, lifetime }: StartedRun<SimulationIoConnection>,
  options: RunSimulationOptions,
): Promise<PreparedRun> {
  const { signal } = lifetime;
  const { onLog, sleep = sleepByTimer, now = Date.now } = options;
  const { createSha256 = () => createHash("sha256") } = options;
  const parts = assertInputs(inputs);
  const { serverApp, clientAppUrl, config = {} } = await options.loadApps(parts.fab, parts.run);
  const { app, context } = serverAppWithContext({ app: serverApp, config }, parts);
  const federationOptions = await askForOptions(connection, runId, inputs, signal);
  const simulation = parseSimulationOptions(federationOptions);

  const pool = createWorkerPool({
    size: options.workers ?? workersFor(simulation, availableParallelism()),
    startThread: () => startWorkerThread({ ...options.workerThreads, clientAppUrl }),
  });
  const grid = new SimulationGrid({
    run: parts.run,
    nodes: createVirtualNodes(runId, simulation.numSupernodes, context.runConfig),
    pool,
    signal,
    createSha256,
    now,
    sleep,
    ...(simulation.isVerbose && onLog !== undefined ? { onAnswer: onLog } : {}),
  });
  const release = () => closeWithin(options.threadGraceMs ?? 5_000, pool, onLog);
  return { app, context, grid, release };
}

/** Stops the threads, and leaves alone those that do not end in time. */
async function closeWithin(
  graceMs: number,
  pool: WorkerPool,
  onLog: RunOptions["onLog"],
): Promise<void> {
  const closed = new AbortController();
  const closing = pool.close().then(() => closed.abort());
  await Promise.race([closing, sleepByTimer(graceMs, closed.signal)]);
  if (!closed.signal.aborted) {
    onLog?.("A worker thread blocks in native code and cannot be ended.");
  }
}

/**
 * Asks for the options that the run was created with. A SuperLink of Flower from
 * 1.29 on has sent them with the inputs, and answers the question with an error
 * that it has for everything.
 */
async function askForOptions(
  connection: SimulationIoConnection,
  runId: bigint,
  { federationConfig }: PullAppInputsResponse,
  signal: AbortSignal,
): Promise<ConfigRecord> {
  try {
    return await connection.getFederationOptions(runId, { signal });
  } catch (error) {
    const isUnanswered =
      error instanceof ConnectError &&
      (error.code === Code.Unknown || error.code === Code.Unimplemented);
    if (isUnanswered && federationConfig !== undefined) {
      return federationOptionsOf(federationConfig);
    }
    throw error;
  }
}
