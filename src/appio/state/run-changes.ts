import { Code, ConnectError } from "@connectrpc/connect";
import { toSqlInteger } from "../../authority/sql-integer.ts";
import type { Token } from "../../policy/token.ts";
import type { StateCore, StateTransaction } from "./core.ts";
import { notRunning } from "./liveness.ts";
import { finishRun } from "./run-end.ts";
import { parseStatusChange, type StatusChange, statusOf } from "./run-status.ts";

/** A status as an app asks for it. */
export interface RequestedStatus {
  readonly status: string;
  readonly subStatus: string;
  readonly details: string;
}

/** Claims a pending run, and issues its token; `Runs.claim` says more. */
export async function claimRun(
  core: StateCore,
  tx: StateTransaction,
  runId: bigint,
): Promise<Token | undefined> {
  if (!(await moveForward(core, tx, runId, "starting"))) {
    return undefined;
  }
  const token = await core.authority.issue(runId, tx);
  if (token === undefined) {
    // Only code that issues a token behind the state's back can lead here.
    throw new ConnectError(`Run ${runId} has a token although it is pending.`, Code.Internal);
  }
  return token;
}

/** Moves a run one status ahead, and tells whether it was there to be moved. */
async function moveForward(
  core: StateCore,
  tx: StateTransaction,
  runId: bigint,
  status: "starting" | "running",
): Promise<boolean> {
  const run = tx.query
    .updateTable("run")
    .where("run_id", "=", toSqlInteger(runId))
    .where("finished_at", "is", null)
    .where("running_at", "is", null);
  const { numUpdatedRows } = await (status === "starting"
    ? run.where("starting_at", "is", null).set({ starting_at: core.now() })
    : run.where("starting_at", "is not", null).set({ running_at: core.now() })
  ).executeTakeFirstOrThrow();
  return numUpdatedRows > 0n;
}

/** Makes the change that an app asks for; `Runs.updateStatus` says more. */
export async function updateStatus(
  core: StateCore,
  tx: StateTransaction,
  runId: bigint,
  requested: RequestedStatus,
): Promise<void> {
  const change = parseStatusChange(requested.status, requested.subStatus);
  if (change !== undefined && (await makeChange(core, tx, runId, change, requested.details))) {
    return;
  }
  const run = await tx.query
    .selectFrom("run")
    .select(["starting_at", "running_at", "finished_at"])
    .where("run_id", "=", toSqlInteger(runId))
    .executeTakeFirst();
  if (run === undefined || run.finished_at !== null) {
    throw await notRunning(tx, runId);
  }
  const from = statusOf(run);
  const to = [requested.status, requested.subStatus].filter((part) => part !== "").join("/");
  throw new ConnectError(
    `Run ${runId} cannot change from ${from} to ${JSON.stringify(to)}.`,
    Code.FailedPrecondition,
  );
}

function makeChange(
  core: StateCore,
  tx: StateTransaction,
  runId: bigint,
  change: StatusChange,
  details: string,
): Promise<boolean> {
  return change.status === "finished"
    ? finishRun(core, tx, runId, { subStatus: change.subStatus, details, finishedAt: core.now() })
    : moveForward(core, tx, runId, change.status);
}

/** Finishes a run as stopped; `Runs.stop` says more. */
export async function stopRun(
  core: StateCore,
  tx: StateTransaction,
  runId: bigint,
): Promise<boolean> {
  const end = { subStatus: "stopped", details: "", finishedAt: core.now() } as const;
  if (await finishRun(core, tx, runId, end)) {
    return true;
  }
  const run = await tx.query
    .selectFrom("run")
    .select("run_id")
    .where("run_id", "=", toSqlInteger(runId))
    .executeTakeFirst();
  if (run === undefined) {
    throw new ConnectError(`Run ${runId} not found.`, Code.NotFound);
  }
  return false;
}
