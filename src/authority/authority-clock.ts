import type { RawBuilder } from "kysely";
import { sql } from "kysely";
import type { AnySqlDatabase } from "./sql-database.ts";

/** An instant in a statement, in milliseconds since the epoch. */
export type SqlInstant = RawBuilder<bigint>;

/** What tells an authority the time. */
export interface AuthorityClock {
  /** The clock of this process, in milliseconds since the epoch. */
  readonly now: () => number;
  /** The instant by which a statement decides; a new one for each. */
  instant(): SqlInstant;
}

/**
 * The instant at which the server takes up the statement, by PostgreSQL's
 * clock. The same throughout the statement, so that indexes serve comparisons
 * with it.
 */
const postgresNow: SqlInstant = sql`cast(floor(extract(epoch from statement_timestamp()) * 1000) as bigint)`;

/** The clock `now` if it is given, and else the database's own. */
export function createAuthorityClock(
  database: AnySqlDatabase,
  now: (() => number) | undefined,
): AuthorityClock {
  if (now === undefined && database.engine === "postgres") {
    return { now: database.now, instant: () => postgresNow };
  }
  const clock = now ?? database.now;
  // Without the cast PostgreSQL does not know what it is to add.
  return { now: clock, instant: () => sql`cast(${BigInt(readClock(clock))} as bigint)` };
}

/**
 * Reads a clock, in whole milliseconds.
 *
 * @throws Error if it shows no number: NaN would make every comparison false.
 */
export function readClock(now: () => number): number {
  const nowMs = Math.trunc(now());
  if (!Number.isSafeInteger(nowMs)) {
    throw new Error("the clock must return milliseconds since the epoch");
  }
  return nowMs;
}
