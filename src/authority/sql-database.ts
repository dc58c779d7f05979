import type { Kysely, Transaction } from "kysely";

/** The SQL engines that hold state. */
export type SqlEngine = "sqlite" | "postgres";

/**
 * An open SQL database, whatever its tables are. What needs its own tables in
 * it (the authority, the state) takes this type, asks for its tables with
 * {@link AnySqlDatabase.withTables} and creates them with `migrate`.
 */
export interface AnySqlDatabase {
  /** The engine behind it, for the few statements that cannot be the same on both. */
  readonly engine: SqlEngine;
  /**
   * Whether nobody but this process can change the database while it is open,
   * so that what was read or committed may be kept in memory.
   */
  readonly exclusive: boolean;
  /** False once {@link AnySqlDatabase.close} was called or the connection broke. */
  readonly isOpen: boolean;
  /**
   * The clock by which processes that share the database agree, in milliseconds
   * since the epoch. On SQLite this machine's. On PostgreSQL the server's, as the
   * last transaction of this process has read it: behind by up to the time that
   * the answer took.
   */
  readonly now: () => number;
  /** Returns the same database, typed with the tables that the caller has created in it. */
  withTables<Tables>(): SqlDatabase<Tables>;
  /**
   * Waits for the transactions and statements that came before, then closes.
   * Whatever comes later is rejected. Closing twice is allowed.
   */
  close(): Promise<void>;
}

/**
 * An open SQL database with known tables.
 *
 * On both engines every integer column is read as a bigint, so that no value
 * is rounded; ids of 64 bits unsigned are stored as {@link SqlUint64}.
 */
export interface SqlDatabase<Tables> extends AnySqlDatabase {
  /**
   * Builds single statements, each of which commits by itself. They wait for a
   * running transaction and never become part of it. Awaiting one inside
   * `transaction`'s work is refused with an error: use the transaction's own
   * `query` there.
   */
  readonly query: Kysely<Tables>;
  /**
   * Runs `work` in a transaction. Commits when `work` resolves; rolls back and
   * rejects with the same error when it rejects. On SQLite it holds the write
   * lock from its start (BEGIN IMMEDIATE), one at a time. On PostgreSQL others run
   * at the same time (READ COMMITTED): what decides must be one conditional
   * statement, and `work` runs again when the server rolls it back for others.
   * A statement that fails ends the transaction, even if `work` catches the
   * error, as PostgreSQL does: say `on conflict` where a conflict is expected.
   *
   * @throws Error when called inside another transaction of the same database.
   */
  transaction<T>(work: (tx: SqlTransaction<Tables>) => Promise<T>): Promise<T>;
}

/** A running transaction, whatever the tables are. */
export interface AnySqlTransaction {
  /** The database that it changes. */
  readonly database: AnySqlDatabase;
  /**
   * Registers what is to happen once the transaction is committed, and never if
   * it is not. On SQLite the actions run in the same turn as the commit: no
   * other code of this process runs between the two. An action must not throw;
   * if one does, the transaction stays committed, the other actions run, and
   * `transaction` rejects.
   *
   * @throws Error when the transaction has ended.
   */
  afterCommit(action: () => void): void;
  /** Returns the same transaction, typed with other tables. */
  withTables<Tables>(): SqlTransaction<Tables>;
}

/** A running transaction with known tables. */
export interface SqlTransaction<Tables> extends AnySqlTransaction {
  /** Builds statements of this transaction. Refuses to run them after its end. */
  readonly query: Transaction<Tables>;
}
