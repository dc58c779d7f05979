import type { AppRuntimeOptions } from "./app-runtime.ts";
import { Grid } from "./grid.ts";
import { RunConnection } from "./run-connection.ts";
import { assertInputs, serverAppWithContext } from "./run-inputs.ts";
import { executeRun, type PreparedRun, type RunOptions, type StartedRun } from "./run-lifecycle.ts";
import { type ServerAppOutcome, serverAppExitCodes } from "./server-app-outcome.ts";
import type { PullObjectsOptions } from "./transfer.ts";

/** What {@link runServerApp} needs; the service is a SuperLink's ServerAppIo. */
export interface RunServerAppOptions extends RunOptions, AppRuntimeOptions {
  /** How often the grid asks for replies while it waits for them, in milliseconds. Default: 3000. */
  readonly replyPollMs?: number;
  /** How the grid pulls the objects of replies; see `pullObjects`. */
  readonly pulling?: PullObjectsOptions;
}

/**
 * Runs the ServerApp of one run, from pulling its inputs to reporting its final
 * status (contract 8.4). How it ended is the result: it neither ends the
 * process nor throws, but for options that are wrong.
 *
 * Differs from Flower's process in one thing: a run that has started gets a
 * final status whatever the app threw, and when it was interrupted.
 *
 * @throws TypeError if the token is missing or the transport may not carry it.
 */
export async function runServerApp(options: RunServerAppOptions): Promise<ServerAppOutcome> {
  return executeRun(
    {
      title: "ServerApp",
      exitCodes: serverAppExitCodes,
      logNodeId: () => 0n,
      connect: (connection) => new RunConnection(connection),
      prepare: (run) => prepare(run, options),
    },
    options,
  );
}

/** Makes what the main function is called with. */
async function prepare(
  { inputs, lifetime, retry }: StartedRun,
  options: RunServerAppOptions,
): Promise<PreparedRun> {
  const { transport, token, loadApp, onLog } = options;
  const { createSha256, replyPollMs, pulling, sleep, random } = options;
  const parts = assertInputs(inputs);
  const loaded = await loadApp(parts.fab, parts.run);
  const grid = new Grid({
    transport,
    token,
    run: parts.run,
    retry,
    signal: lifetime.signal,
    onWarning: (text) => onLog?.(text),
    ...(sleep === undefined ? {} : { sleep }),
    ...(random === undefined ? {} : { random }),
    ...(createSha256 === undefined ? {} : { createSha256 }),
    ...(replyPollMs === undefined ? {} : { pollIntervalMs: replyPollMs }),
    ...(pulling === undefined ? {} : { pulling }),
  });
  return { ...serverAppWithContext(loaded, parts), grid };
}
