import type { PostgresClient, PostgresDriver } from "./postgres-driver.ts";
import { toSqlError } from "./postgres-errors.ts";
import { parserOf } from "./postgres-values.ts";
import { SqlError } from "./sql-error.ts";

/** Where a database is, and how many connections a process makes to it. */
export interface PostgresPoolOptions {
  /** The npm package `pg`: its default export. */
  readonly driver: PostgresDriver;
  /** Address of the database, such as `postgres://user:password@host:5432/name?sslmode=verify-full`. */
  readonly connectionString?: string;
  /** In place of the address: `host`, `port`, `user`, `password`, `database`, `ssl` and what else the driver takes. */
  readonly config?: Readonly<Record<string, unknown>>;
  /** The most connections that this process has at a time. Default: 10. */
  readonly maxConnections?: number;
  /** How long a statement waits for a connection, in milliseconds. Default: 10,000. */
  readonly connectTimeoutMs?: number;
  /**
   * After how long the server ends a transaction whose process does nothing, in
   * milliseconds: a process that was cut off or frozen must not keep its locks.
   * Default: 60,000.
   */
  readonly idleInTransactionTimeoutMs?: number;
}

/** The connections of one process to one database. */
export interface PostgresPoolUse {
  /** False once the pool was closed. */
  readonly isOpen: boolean;
  /** Resolves with a connection; who takes it releases it, and says so with {@link PostgresPoolUse.given}. */
  take(): Promise<PostgresClient>;
  given(): void;
  /** Refuses later takers, waits for those who came before, and closes. Closing twice is allowed. */
  close(): Promise<void>;
}

/** Opens a pool; no connection is made yet. */
export function openPostgresPool(options: PostgresPoolOptions): PostgresPoolUse {
  const pool = createPool(options);
  // Connections that break are replaced at their next use; without a listener the process would end.
  pool.on("error", () => {});
  const watched = new WeakSet<PostgresClient>();
  let users = 0;
  let whenUnused: (() => void) | undefined;
  let closed: Promise<void> | undefined;

  function given(): void {
    users -= 1;
    if (users === 0) {
      whenUnused?.();
    }
  }

  async function end(): Promise<void> {
    if (users > 0) {
      await new Promise<void>((resolve) => {
        whenUnused = resolve;
      });
    }
    await pool.end();
  }

  return {
    get isOpen() {
      return closed === undefined;
    },
    async take() {
      if (closed !== undefined) {
        throw new SqlError("the PostgreSQL database is closed", "unavailable");
      }
      users += 1;
      try {
        const client = await pool.connect();
        if (!watched.has(client)) {
          watched.add(client);
          // The statement under way rejects as well; this is for the time between two.
          client.on("error", () => {});
        }
        return client;
      } catch (error) {
        given();
        throw toSqlError(error);
      }
    },
    given,
    close() {
      closed ??= end();
      return closed;
    },
  };
}

function createPool(options: PostgresPoolOptions) {
  const { driver, connectionString, config } = options;
  if (typeof driver?.Pool !== "function") {
    throw new TypeError('"driver" must be the default export of the npm package pg');
  }
  if ((connectionString === undefined) === (config === undefined)) {
    throw new TypeError('either "connectionString" or "config" must say where the database is');
  }
  // The value is not shown: it may hold a password.
  if (connectionString !== undefined && !/^postgres(?:ql)?:\/\//.test(connectionString)) {
    throw new TypeError('"connectionString" must be a URL that begins with postgres://');
  }
  return new driver.Pool({
    ...config,
    ...(connectionString === undefined ? {} : { connectionString }),
    max: checkPositive("maxConnections", options.maxConnections ?? 10),
    connectionTimeoutMillis: checkPositive("connectTimeoutMs", options.connectTimeoutMs ?? 10_000),
    idle_in_transaction_session_timeout: checkPositive(
      "idleInTransactionTimeoutMs",
      options.idleInTransactionTimeoutMs ?? 60_000,
    ),
    keepAlive: true,
    types: { getTypeParser: parserOf },
  });
}

function checkPositive(option: string, value: number): number {
  if (!Number.isSafeInteger(value) || value <= 0) {
    throw new TypeError(`"${option}" must be a positive whole number`);
  }
  return value;
}
