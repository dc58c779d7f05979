import { sql } from "kysely";
import { toSqlInteger } from "../../authority/sql-integer.ts";
import type { StateCore } from "./core.ts";
import { runNotRunning } from "./liveness.ts";
import { holdLog } from "./postgres-locks.ts";
import { storableText } from "./storable-text.ts";
import { transact } from "./transact.ts";

/** Log text, and where to go on. */
export interface LogPage {
  /** The entries, one after the other; empty when there is nothing new. */
  readonly text: string;
  /** Server time of the newest entry in it, in seconds since the epoch; 0 when there is none. */
  readonly latestTimestamp: number;
}

/** The logs of runs. */
export interface Logs {
  /**
   * Adds an entry to the log of a run that has not finished; an empty one is
   * left out, as a page without text says that there is nothing new.
   *
   * @throws ConnectError PermissionDenied `Run is finished.`, or NotFound when
   * the run is unknown.
   */
  append(runId: bigint, text: string): Promise<void>;
  /**
   * Returns what was logged after an instant, in seconds since the epoch, from
   * the oldest on; 0 begins at the start. A page ends after about 1 MiB.
   */
  after(runId: bigint, timestamp: number): Promise<LogPage>;
}

/**
 * Distance that entries keep, in seconds: readers ask for what is later than
 * the newest entry they have, so no two entries of a run may share an instant.
 */
const tickSeconds = 1e-6;

const maxPageEntries = 1000;
const maxPageLength = 1024 * 1024;

/** Creates the part of the state that keeps logs. */
export function createLogState(core: StateCore): Logs {
  return {
    async append(runId, text) {
      if (text === "") {
        return;
      }
      await transact(core, async (tx) => {
        const id = toSqlInteger(runId);
        await holdLog(tx, id);
        const now = core.now() / 1000;
        const newest = sql<number>`(select max(logged_at) from run_log where run_id = ${id})`;
        const loggedAt = sql<number>`case when ${newest} >= ${now} then ${newest} + ${tickSeconds} else ${now} end`;
        const { numInsertedOrUpdatedRows } = await tx.query
          .insertInto("run_log")
          .columns(["run_id", "logged_at", "text"])
          .expression(({ selectFrom, val }) =>
            selectFrom("run")
              .select(["run.run_id", loggedAt.as("logged_at"), val(storableText(text)).as("text")])
              .where("run.run_id", "=", id)
              .where("run.finished_at", "is", null),
          )
          .executeTakeFirstOrThrow();
        if (numInsertedOrUpdatedRows === 0n) {
          const run = await tx.query
            .selectFrom("run")
            .select(["starting_at", "running_at", "finished_at", "sub_status"])
            .where("run_id", "=", id)
            .executeTakeFirst();
          throw runNotRunning(runId, run);
        }
      });
    },
    async after(runId, timestamp) {
      const rows = await core.database.query
        .selectFrom("run_log")
        .select(["logged_at", "text"])
        .where("run_id", "=", toSqlInteger(runId))
        .where("logged_at", ">", timestamp)
        .orderBy("logged_at")
        .limit(maxPageEntries)
        .execute();
      let length = 0;
      const page = rows.filter(({ text }, index) => {
        length += text.length;
        return index === 0 || length <= maxPageLength;
      });
      return {
        text: page.map(({ text }) => text).join(""),
        latestTimestamp: page.at(-1)?.logged_at ?? 0,
      };
    },
  };
}
