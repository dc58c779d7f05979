import { Code, ConnectError } from "@connectrpc/connect";
import type { Kysely, RawBuilder } from "kysely";
import { hotStatement } from "../../authority/hot-statement.ts";
import { type SqlUint64, toSqlInteger } from "../../authority/sql-integer.ts";
import type { StateCore, StateTransaction } from "./core.ts";
import { type RunInstants, statusOf } from "./run-status.ts";
import type { StateTables } from "./tables.ts";
import { transact } from "./transact.ts";

/** What must be known about a run to tell whether a call may use it. */
interface RunLife extends RunInstants {
  readonly sub_status: string;
}

/**
 * A query of one row if the run is running, and of none if it is not: the
 * condition that a change carries in its own statement.
 */
export function runningRun(query: Kysely<StateTables>, runId: SqlUint64 | RawBuilder<SqlUint64>) {
  return query
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
  tx: StateTransaction,
  runId: bigint,
  lock: "share" | "update" = "share",
): Promise<void> {
  const { rows } = await lives[lock](tx, { runId: toSqlInteger(runId) });
  const [run] = rows;
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
  return transact(core, (tx) => holdRunning(tx, runId));
}

/** Makes the error that says why a run cannot be used, for a change that its liveness has prevented. */
export async function notRunning(tx: StateTransaction, runId: bigint): Promise<ConnectError> {
  const { rows } = await lives.none(tx, { runId: toSqlInteger(runId) });
  return runNotRunning(runId, rows[0]);
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

/** Reads a run's life, by the lock that it takes on the run's row. */
const lives = { none: readLife("none"), share: readLife("share"), update: readLife("update") };

function readLife(lock: "none" | "share" | "update") {
  return hotStatement<StateTables, { runId: SqlUint64 }>()((query, value, engine) => {
    const life = query
      .selectFrom("run")
      .select(["starting_at", "running_at", "finished_at", "sub_status"])
      .where("run_id", "=", value("runId"));
    // SQLite's transactions hold the write lock from their start. On PostgreSQL
    // two that share the row and then change it would wait for each other for ever.
    if (engine === "sqlite" || lock === "none") {
      return life;
    }
    return lock === "update" ? life.forUpdate() : life.forShare();
  });
}
