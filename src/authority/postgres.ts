import { setTimeout as delay } from "node:timers/promises";
import { Kysely } from "kysely";
import type { PostgresConnection } from "./postgres-connection.ts";
import { createPostgresConnection } from "./postgres-connection.ts";
import { createPostgresDialect } from "./postgres-dialect.ts";
import type { PostgresClient } from "./postgres-driver.ts";
import { isRolledBack } from "./postgres-errors.ts";
import type { PostgresPoolOptions, PostgresPoolUse } from "./postgres-pool.ts";
import { openPostgresPool } from "./postgres-pool.ts";
import type { SqlDatabase } from "./sql-database.ts";
import { createStatementNames } from "./statement-names.ts";
import {
  createTransactionScopes,
  databaseWithTables,
  runAfterCommit,
} from "./transaction-scopes.ts";

/** How to open a PostgreSQL database; by its address or by settings, not both. */
export interface PostgresOptions extends PostgresPoolOptions {
  /**
   * Whether statements are prepared once per connection. Default: true; false
   * behind a connection pooler that cannot keep prepared statements apart.
   */
  readonly prepare?: boolean;
}

/** How often a transaction is tried when the server rolls it back in favour of others. */
const maxTries = 5;

/** The most statements that are prepared on a connection. */
const maxPrepared = 256;

/**
 * Opens a PostgreSQL database that other processes use too. What callers see is
 * as on SQLite, with these differences: transactions of one process run side by
 * side, in isolation level READ COMMITTED; and `transaction` runs its work again
 * when the server has rolled it back in favour of others (a deadlock), so the
 * work must do nothing but change the database until its `afterCommit`.
 *
 * If the connection breaks during a commit, `transaction` rejects although the
 * changes may have been made.
 *
 * @throws TypeError if an option is wrong; SqlError if the database cannot be reached.
 */
export async function openPostgres<Tables>(options: PostgresOptions): Promise<SqlDatabase<Tables>> {
  const pool = openPostgresPool(options);
  const names = options.prepare === false ? undefined : createStatementNames(maxPrepared);
  const database = createPostgresDatabase<Tables>(pool, (client) =>
    createPostgresConnection(client, names),
  );
  try {
    // Fails here rather than at the first call, and reads the server's clock.
    await database.transaction(async () => {});
  } catch (error) {
    await database.close();
    throw error;
  }
  return database;
}

function createPostgresDatabase<Tables>(
  pool: PostgresPoolUse,
  createConnection: (client: PostgresClient) => PostgresConnection,
): SqlDatabase<Tables> {
  const scopes = createTransactionScopes();
  let clock = { nowMs: Number.NaN, readAt: 0 };

  const query = new Kysely<Tables>({
    dialect: createPostgresDialect({
      async take() {
        scopes.refuseInside();
        return createConnection(await pool.take());
      },
      give(connection) {
        connection.release();
        pool.given();
      },
      onClock(nowMs) {
        clock = { nowMs, readAt: performance.now() };
      },
      close,
    }),
  });

  const database: SqlDatabase<Tables> = {
    engine: "postgres",
    exclusive: false,
    get isOpen() {
      return pool.isOpen;
    },
    query,
    now: () => clock.nowMs + performance.now() - clock.readAt,
    withTables: <Other>() => databaseWithTables<Other>(database),
    async transaction(work) {
      for (let tries = 1; ; tries++) {
        const actions: (() => void)[] = [];
        try {
          const result = await query.transaction().execute((tx) => {
            const afterCommit = (action: () => void) => actions.push(action);
            return scopes.run({ database, query: tx, afterCommit }, work);
          });
          runAfterCommit(actions);
          return result;
        } catch (error) {
          const cause = error instanceof Error ? error.cause : undefined;
          if (tries >= maxTries || !(isRolledBack(error) || isRolledBack(cause))) {
            throw error;
          }
        }
        // Those that met in a deadlock do not start again at the same instant.
        await delay(Math.random() * 10 * tries);
      }
    },
    close,
  };
  return database;

  async function close(): Promise<void> {
    scopes.refuseInside();
    await pool.close();
  }
}
