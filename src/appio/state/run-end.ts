import { toSqlInteger } from "../../authority/sql-integer.ts";
import type { StateCore, StateTransaction } from "./core.ts";
import { releaseRunObjects } from "./object-release.ts";
import { storableText } from "./storable-text.ts";

/** How a run ends. */
export interface RunEnd {
  readonly subStatus: "completed" | "failed" | "stopped";
  readonly details: string;
  /** In milliseconds since the epoch. */
  readonly finishedAt: number;
}

/**
 * Finishes a run: its status, its token, its messages and its objects together
 * or, when it is unknown or may not end so, not at all. A run that has not
 * started running cannot end as completed.
 *
 * @returns Whether the run was finished by this call.
 */
export async function finishRun(
  core: StateCore,
  tx: StateTransaction,
  runId: bigint,
  end: RunEnd,
): Promise<boolean> {
  const id = toSqlInteger(runId);
  let update = tx.query
    .updateTable("run")
    .set({
      finished_at: end.finishedAt,
      sub_status: end.subStatus,
      details: storableText(end.details),
    })
    .where("run_id", "=", id)
    .where("finished_at", "is", null);
  if (end.subStatus === "completed") {
    update = update.where("running_at", "is not", null);
  }
  const { numUpdatedRows } = await update.executeTakeFirstOrThrow();
  if (numUpdatedRows === 0n) {
    return false;
  }
  await core.authority.revoke(runId, tx);
  await tx.query.deleteFrom("instruction").where("run_id", "=", id).execute();
  await tx.query.deleteFrom("reply").where("run_id", "=", id).execute();
  await releaseRunObjects(tx, id);
  return true;
}
