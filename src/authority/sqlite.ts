import { Kysely } from "kysely";
import type { SqlDatabase } from "./sql-database.ts";
import type { SqliteConnection } from "./sqlite-connection.ts";
import { createSqliteConnection } from "./sqlite-connection.ts";
import { createSqliteDialect } from "./sqlite-dialect.ts";
import { openExclusive, openShared } from "./sqlite-file.ts";
import { createTransactionScopes, databaseWithTables } from "./transaction-scopes.ts";
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

function createSqliteDatabase<Tables>(
  connection: SqliteConnection,
  { path, exclusive }: { path: string; exclusive: boolean },
): SqlDatabase<Tables> {
  const queue = createTurnQueue();
  const scopes = createTransactionScopes();
  let closing = false;

  const query = new Kysely<Tables>({
    dialect: createSqliteDialect({
      async take() {
        scopes.refuseInside();
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
    now: Date.now,
    withTables: <Other>() => databaseWithTables<Other>(database),
    async transaction(work) {
      return query
        .transaction()
        .execute((tx) =>
          scopes.run({ database, query: tx, afterCommit: connection.afterCommit }, work),
        );
    },
    close,
  };
  return database;

  async function close(): Promise<void> {
    scopes.refuseInside();
    closing = true;
    await queue.enter();
    try {
      connection.close();
    } finally {
      queue.leave();
    }
  }
}
