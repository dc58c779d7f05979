import type { DatabaseSync } from "node:sqlite";
import type { CompiledQuery, QueryResult } from "kysely";
import { toSqlError } from "./sqlite-errors.ts";
import { bindParameters, createStatementCache, prepareStatement } from "./sqlite-statements.ts";
import { runAfterCommit } from "./transaction-scopes.ts";

/** One connection to SQLite, with at most one transaction. It is not shared: its user waits for their turn. */
export interface SqliteConnection {
  /** False once the connection was closed, or could not be brought out of a transaction. */
  readonly isOpen: boolean;
  /** Runs one statement, alone or in the running transaction. */
  execute<Row>(query: CompiledQuery): QueryResult<Row>;
  /** Reads the rows of one statement as they are asked for. */
  iterate<Row>(query: CompiledQuery): IterableIterator<Row>;
  /** Starts a transaction that holds the write lock. */
  begin(): void;
  /** Commits, and runs the actions registered for it in the same turn. */
  commit(): void;
  /** Ends the transaction, if one is running, without its changes. Never throws. */
  rollback(): void;
  /** Registers an action for the commit of the running transaction. */
  afterCommit(action: () => void): void;
  /** Closes the connection. Closing twice is allowed. */
  close(): void;
}

interface RunningTransaction {
  readonly actions: (() => void)[];
  failed: boolean;
}

const maxStatements = 256;

/** Takes over an open database. */
export function createSqliteConnection(database: DatabaseSync): SqliteConnection {
  const statements = createStatementCache(database, maxStatements);
  let isOpen = true;
  let transaction: RunningTransaction | undefined;

  /**
   * SQLite ends a transaction by itself on some errors (disk full, for one).
   * Statements after that would each commit alone, so after any error the
   * transaction is only good for being rolled back.
   */
  function inTransaction<T>(work: () => T): T {
    refuseIfFailed();
    try {
      return work();
    } catch (error) {
      throw failed(error);
    }
  }

  function refuseIfFailed(): void {
    if (transaction?.failed) {
      throw new Error("the transaction has failed: one of its statements was refused");
    }
  }

  function failed(error: unknown): unknown {
    if (transaction !== undefined) {
      transaction.failed = true;
    }
    return toSqlError(error);
  }

  function close(): void {
    if (isOpen) {
      isOpen = false;
      database.close();
    }
  }

  return {
    get isOpen() {
      return isOpen;
    },
    execute<Row>(query: CompiledQuery) {
      return inTransaction((): QueryResult<Row> => {
        const statement = statements.get(query.sql);
        const parameters = bindParameters(query.parameters);
        if (countsRows(query)) {
          const { changes, lastInsertRowid } = statement.run(...parameters);
          return {
            rows: [],
            numAffectedRows: BigInt(changes),
            insertId: BigInt(lastInsertRowid),
          };
        }
        return { rows: statement.all(...parameters).map(asRow<Row>) };
      });
    },
    *iterate<Row>(query: CompiledQuery) {
      refuseIfFailed();
      try {
        // Not from the cache: the same SQL may run again while this one is being read.
        const statement = prepareStatement(database, query.sql);
        for (const row of statement.iterate(...bindParameters(query.parameters))) {
          yield asRow<Row>(row);
        }
      } catch (error) {
        throw failed(error);
      }
    },
    begin() {
      try {
        database.exec("BEGIN IMMEDIATE");
      } catch (error) {
        throw toSqlError(error);
      }
      transaction = { actions: [], failed: false };
    },
    commit() {
      const { actions } = inTransaction(() => {
        database.exec("COMMIT");
        return ended();
      });
      runAfterCommit(actions);
    },
    rollback() {
      if (transaction === undefined) {
        return;
      }
      transaction = undefined;
      if (!endsTransaction(database)) {
        close();
      }
    },
    afterCommit(action) {
      running().actions.push(action);
    },
    close,
  };

  function running(): RunningTransaction {
    if (transaction === undefined) {
      throw new Error("there is no running transaction");
    }
    return transaction;
  }

  function ended(): RunningTransaction {
    const last = running();
    transaction = undefined;
    return last;
  }
}

/** Whether a statement answers with the number of rows it changed, and not with rows. */
function countsRows({ query }: CompiledQuery): boolean {
  switch (query.kind) {
    case "InsertQueryNode":
    case "UpdateQueryNode":
    case "DeleteQueryNode":
      return query.returning === undefined;
    default:
      return false;
  }
}

/** The one place where a row gets the type that the query's author derived from the tables. */
function asRow<Row>(row: unknown): Row {
  return row as Row;
}

/** Leaves the transaction, also when SQLite has already left it by itself; false if it cannot. */
function endsTransaction(database: DatabaseSync): boolean {
  try {
    database.exec("ROLLBACK");
    return true;
  } catch {
    try {
      // Fails inside a transaction, so it tells whether there still is one.
      database.exec("BEGIN");
      database.exec("ROLLBACK");
      return true;
    } catch {
      return false;
    }
  }
}
