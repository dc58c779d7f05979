import { createHash } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable } from "node:stream";
import type { Fab } from "../../../gen/flwr/proto/fab_pb.ts";
import { openGrpc } from "../grpc-connection.ts";
import type { Sha256Hasher } from "../objects/object-id.ts";
import type { LoadedApp } from "../runtime/load-app.ts";
import type { InstalledBundle } from "./bundle-install.ts";
import { readLaunchInput } from "./launch-input.ts";
import type { AppType, PluginType } from "./plugin-type.ts";
import type { SimulatedApps } from "./simulation/run-simulation.ts";

/** Options of {@link runAppProcess}. */
export interface AppProcessOptions {
  readonly appType: AppType;
  /** URL of the AppIo service that gave the token: ClientAppIo for a ClientApp, else ServerAppIo. */
  readonly address: string;
  /** Carries `{"token": "..."}` as its first line; its end tells that the parent is gone. */
  readonly stdin: Readable;
  /**
   * Where bundles are installed. Processes may share one, and then do not install the same bundle twice. Default: a
   * new temporary directory, removed at the end.
   */
  readonly bundleDirectory?: string;
  /**
   * How often a ServerApp's grid asks for replies, and a simulation whether its run goes on, in milliseconds.
   * Default 3000, as Flower's grid.
   */
  readonly replyPollMs?: number;
  /** How soon a ServerApp's grid asks again for an object that has not arrived, in milliseconds. Default 1000, as Flower's. */
  readonly objectPollMs?: number;
  /** Receives the runtime's own remarks, one line each. Default: nobody. */
  readonly onLog?: (line: string) => void;
  /** Interrupts the app. */
  readonly signal?: AbortSignal;
}

/** How an app's process ended: Flower's exit code (contract 10) and the outcome's name. */
export interface AppProcessOutcome {
  readonly exitCode: number;
  readonly kind: string;
  /** What went wrong; absent when nothing did. */
  readonly error?: unknown;
}

/**
 * Runs one app in this process, for the token that a SuperExec sends through stdin: connects to the AppIo service,
 * installs the app bundle it is sent, imports the app and runs it to its end. The output of a ServerApp or a
 * simulation is uploaded to the log of its run.
 *
 * A ServerApp and a simulation live for one run, a ClientApp for one message.
 *
 * @throws Error when stdin carries no token
 */
export async function runAppProcess(options: AppProcessOptions): Promise<AppProcessOutcome> {
  const { appType, address, stdin, replyPollMs, objectPollMs, onLog = () => {} } = options;
  const input = await readLaunchInput(stdin);
  const signal = AbortSignal.any([input.parentGone, ...(options.signal ? [options.signal] : [])]);
  const { transport, close } = openGrpc(address);
  const directory = options.bundleDirectory ?? (await mkdtemp(join(tmpdir(), "countersign-app-")));
  try {
    const createSha256 = (): Sha256Hasher => createHash("sha256");
    const common = { transport, token: input.token, onLog, signal, createSha256, captureErrors };
    if (appType === "simulation") {
      const { runSimulation } = await import("./simulation/run-simulation.ts");
      return await runSimulation({
        ...common,
        captureLog: captureOutput,
        loadApps: (fab) => loadSimulation(fab, directory),
        ...(replyPollMs === undefined ? {} : { maxHeartbeatMs: replyPollMs }),
      });
    }
    const loadApp = (fab: Fab) => loadBundle(fab, appType, directory);
    if (appType === "serverapp") {
      const { runServerApp } = await import("../runtime/run-server-app.ts");
      return await runServerApp({
        ...common,
        loadApp,
        captureLog: captureOutput,
        ...(replyPollMs === undefined ? {} : { replyPollMs }),
        ...(objectPollMs === undefined ? {} : { pulling: { initialBackoffMs: objectPollMs } }),
      });
    }
    const { runClientApp } = await import("../runtime/run-client-app.ts");
    return await runClientApp({ ...common, loadApp });
  } finally {
    close();
    if (options.bundleDirectory === undefined) {
      await rm(directory, { recursive: true, force: true });
    }
  }
}

async function loadBundle(fab: Fab, pluginType: PluginType, directory: string): Promise<LoadedApp> {
  const { loadEntryPoint } = await import("./bundle-install.ts");
  const installed = await install(fab, directory);
  return { app: await loadEntryPoint(installed, pluginType), config: installed.bundle.config };
}

/** The ServerApp is imported here, the ClientApp by each of the simulation's threads. */
async function loadSimulation(fab: Fab, directory: string): Promise<SimulatedApps> {
  const { entryPointUrl, loadEntryPoint } = await import("./bundle-install.ts");
  const installed = await install(fab, directory);
  return {
    clientAppUrl: entryPointUrl(installed, "clientapp"),
    serverApp: await loadEntryPoint(installed, "serverapp"),
    config: installed.bundle.config,
  };
}

async function install(fab: Fab, directory: string): Promise<InstalledBundle> {
  const { bundleId, readBundle } = await import("./bundle.ts");
  const { installBundle } = await import("./bundle-install.ts");
  if (bundleId(fab.content) !== fab.hashStr) {
    throw new Error("The app bundle that arrived is not the one that was announced.");
  }
  return installBundle(await readBundle(fab.content), directory);
}

/** Hands errors that nobody handles to `fail`: Node ends the process for them, before the server can be told. */
function captureErrors(fail: (error: unknown) => void): () => void {
  // An app that listens for them itself handles them.
  const onException = (error: unknown): void => {
    if (process.listenerCount("uncaughtException") === 1) fail(error);
  };
  const onRejection = (reason: unknown): void => {
    if (process.listenerCount("unhandledRejection") === 1) fail(reason);
  };
  process.on("uncaughtException", onException).on("unhandledRejection", onRejection);
  return () => {
    process.off("uncaughtException", onException).off("unhandledRejection", onRejection);
  };
}

/** Copies what the process writes to stdout and stderr, which console does, to `upload`. */
function captureOutput(upload: (text: string) => void): () => void {
  const restore = [process.stdout, process.stderr].map((stream) => {
    const { write } = stream;
    const copy: typeof write = (
      chunk: string | Uint8Array,
      encodingOrDone?: BufferEncoding | ((error?: Error | null) => void),
      done?: (error?: Error | null) => void,
    ) => {
      upload(typeof chunk === "string" ? chunk : Buffer.from(chunk).toString("utf8"));
      return typeof encodingOrDone === "function"
        ? write.call(stream, chunk, undefined, encodingOrDone)
        : write.call(stream, chunk, encodingOrDone, done);
    };
    stream.write = copy;
    return () => {
      stream.write = write;
    };
  });
  return () => {
    for (const undo of restore) undo();
  };
}
