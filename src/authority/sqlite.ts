import { AsyncLocalStorage } from "node:async_hooks";
import { Kysely } from "kysely";
import type {
  AnySqlDatabase,
  AnySqlTransaction,
  SqlDatabase,
  SqlTransaction,
} from "./sql-database.ts";
import type { SqliteConnection } from "./sqlite-connection.ts";
import { createSqliteConnection } from "./sqlite-connection.ts";
import { createSqliteDialect } from "./sqlite-dialect.ts";
import { openExclusive, openShared } from "./sqlite-file.ts";
import { createTurnQueue } from "./turn-queue.ts";

/** How to open a SQLite database. */
export interface SqliteOptions {
  /** Path of the file, created if absent; or `:memory:`, a database that ends with its closing. */
  readonly path: string;
  /**
   * `exclusive` (default): the file belongs to this process until it is closed,
   * and what is known of it may be kept in memory. `shared`: other processes
   * may open it too, all of them with `shared`; a statement then waits up to 5 s
   * for the others, and this process stands still meanwhile.
   */
  readonly lock?: "exclusive" | "shared";
}

/**
 * Opens a SQLite database on node:sqlite: write-ahead log, foreign keys on.
 *
 * @throws TypeError if an option is wrong; Error naming the file if it cannot
 * be opened, or if another process has it.
 */
export async function openSqlite<Tables>(options: SqliteOptions): Promise<SqlDatabase<Tables>> {
  const { path, lock = "exclusive" } = options;
  if (typeof path !== "string" || path === "") {
    throw new TypeError('"path" must be the path of a file, or ":memory:"');
  }
  if (lock !== "exclusive" && lock !== "shared") {
    throw new TypeError('"lock" must be "exclusive" or "shared"');
  }
  const exclusive = lock === "exclusive";
  const file = exclusive ? await openExclusive(path) : await openShared(path);
  return createSqliteDatabase<Tables>(createSqliteConnection(file), { path, exclusive });
}

/** What runs inside `transaction`, and may not wait for the connection that the transaction has. */
interface TransactionScope {
  running: boolean;
}

function createSqliteDatabase<Tables>(
  connection: SqliteConnection,
  { path, exclusive }: { path: string; exclusive: boolean },
): SqlDatabase<Tables> {
  const queue = createTurnQueue();
  const scopes = new AsyncLocalStorage<TransactionScope>();
  let closing = false;

  const query = new Kysely<Tables>({
    dialect: createSqliteDialect({
      async take() {
        refuseInsideTransaction();
        if (closing) {
          throw new Error(`the database ${path} is closed`);
        }
        await queue.enter();
        if (!connection.isOpen) {
          queue.leave();
          throw new Error(`the database ${path} is closed`);
        }
        return connection;
      },
      give: queue.leave,
      close,
    }),
  });

  const database: SqlDatabase<Tables> = {
    engine: "sqlite",
    exclusive,
    get isOpen() {
      return !closing && connection.isOpen;
    },
    query,
    withTables: <Other>() => databaseWithTables<Other>(database),
    async transaction(work) {
      return query.transaction().execute(async (tx) => {
        const scope: TransactionScope = { running: true };
        const transaction: SqlTransaction<Tables> = {
          database,
          query: tx,
          afterCommit(action) {
            if (!scope.running) {
              throw new Error("the transaction is over: the action came too late");
            }
            connection.afterCommit(action);
          },
          withTables: <Other>() => transactionWithTables<Other>(transaction),
        };
        try {
          return await scopes.run(scope, () => work(transaction));
        } finally {
          scope.running = false;
        }
      });
    },
    close,
  };
  return database;

  /** Such a caller would wait for itself, for ever. */
  function refuseInsideTransaction(): void {
    if (scopes.getStore()?.running) {
      throw new Error("inside a transaction, use its own query: this would wait for it to end");
    }
  }

  async function close(): Promise<void> {
    refuseInsideTransaction();
    closing = true;
    await queue.enter();
    try {
      connection.close();
    } finally {
      queue.leave();
    }
  }
}

/** The one place where a database gets other table types: they exist at compile time only. */
function databaseWithTables<Other>(database: AnySqlDatabase): SqlDatabase<Other> {
  return database as SqlDatabase<Other>;
}

/** The same for a transaction. */
function transactionWithTables<Other>(transaction: AnySqlTransaction): SqlTransaction<Other> {
  return transaction as SqlTransaction<Other>;
}
