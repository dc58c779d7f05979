import { Code, ConnectError } from "@connectrpc/connect";
import { type SqlUint64, toSqlInteger } from "../../authority/sql-integer.ts";
import type { StateCore, StateTransaction } from "./core.ts";
import { type RunInstants, statusOf } from "./run-status.ts";
import { transact } from "./transact.ts";

/** What must be known about a run to tell whether a call may use it. */
interface RunLife extends RunInstants {
  readonly sub_status: string;
}

/**
 * A query of one row if the run is running, and of none if it is not: the
 * condition that a change carries in its own statement.
 */
export function runningRun(tx: StateTransaction, runId: SqlUint64) {
  return tx.query
    .selectFrom("run")
    .where("run.run_id", "=", runId)
    .where("run.running_at", "is not", null)
    .where("run.finished_at", "is", null);
}

/**
 * Makes sure that a run is running and stays so until the transaction ends, for
 * changes that take several statements.
 *
 * @param lock `update` if the transaction goes on to change the run's own row.
 * @throws ConnectError as {@link runNotRunning} makes it.
 */
export async function holdRunning(
  core: StateCore,
  tx: StateTransaction,
  runId: bigint,
  lock: "share" | "update" = "share",
): Promise<void> {
  let life = lifeOf(tx, runId);
  // SQLite's transactions hold the write lock from their start. On PostgreSQL
  // two that share the row and then change it would wait for each other for ever.
  if (core.database.engine === "postgres") {
    life = lock === "update" ? life.forUpdate() : life.forShare();
  }
  const run = await life.executeTakeFirst();
  if (run === undefined || statusOf(run) !== "running") {
    throw runNotRunning(runId, run);
  }
}

/**
 * Checks that a run is running.
 *
 * @throws ConnectError as {@link runNotRunning} makes it.
 */
export function assertRunning(core: StateCore, runId: bigint): Promise<void> {
  return transact(core, (tx) => holdRunning(core, tx, runId));
}

/** Makes the error that says why a run cannot be used, for a change that its liveness has prevented. */
export async function notRunning(tx: StateTransaction, runId: bigint): Promise<ConnectError> {
  return runNotRunning(runId, await lifeOf(tx, runId).executeTakeFirst());
}

/**
 * Makes the error for a run that is not running: NotFound when it is unknown,
 * else PermissionDenied with Flower's text (`Run is finished. Stopped by
 * user.`), which its clients read as "the run was stopped".
 */
export function runNotRunning(runId: bigint, run: RunLife | undefined): ConnectError {
  if (run === undefined) {
    return new ConnectError(`Run ${runId} not found.`, Code.NotFound);
  }
  const stopped = run.sub_status === "stopped" ? " Stopped by user." : "";
  return new ConnectError(`Run is ${statusOf(run)}.${stopped}`, Code.PermissionDenied);
}

function lifeOf(tx: StateTransaction, runId: bigint) {
  return tx.query
    .selectFrom("run")
    .select(["starting_at", "running_at", "finished_at", "sub_status"])
    .where("run_id", "=", toSqlInteger(runId));
}
