import type { Authority } from "../../authority/authority.ts";
import type { SqlDatabase, SqlTransaction } from "../../authority/sql-database.ts";
import type { StateTables } from "./tables.ts";

/** What every part of the state works with. */
export interface StateCore {
  readonly database: SqlDatabase<StateTables>;
  readonly authority: Authority;
  /** The clock, in milliseconds since the epoch. */
  readonly now: () => number;
}

/** A running transaction on the state. */
export type StateTransaction = SqlTransaction<StateTables>;
