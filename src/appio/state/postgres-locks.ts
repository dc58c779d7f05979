import { sql } from "kysely";
import type { SqlUint64 } from "../../authority/sql-integer.ts";
import type { StateTransaction } from "./core.ts";

/**
 * What one statement cannot decide: SQLite's transactions have the database for
 * themselves, PostgreSQL's go side by side. The locks are PostgreSQL's advisory
 * ones, which end with the transaction; on SQLite there is nothing to do.
 */

/**
 * Keeps what a run's objects are to each other: announcing one must not count
 * on a child that is just being released. Any number may `announce` at a time;
 * whoever releases is alone.
 */
export async function holdObjects(
  tx: StateTransaction,
  runId: SqlUint64,
  purpose: "announce" | "release",
): Promise<void> {
  if (tx.database.engine === "postgres") {
    const lock = purpose === "announce" ? "pg_advisory_xact_lock_shared" : "pg_advisory_xact_lock";
    await sql`select ${sql.raw(lock)}(${runId})`.execute(tx.query);
  }
}

/** The first key of the locks on logs; those on objects have one key. */
const logLocks = 1n;

/**
 * Lets one entry at a time into a run's log: a reader that has seen an entry
 * never looks for an earlier one.
 */
export async function holdLog(tx: StateTransaction, runId: SqlUint64): Promise<void> {
  if (tx.database.engine === "postgres") {
    await sql`select pg_advisory_xact_lock(cast(${logLocks} as integer), hashint8(${runId}))`.execute(
      tx.query,
    );
  }
}
