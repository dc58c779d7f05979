import type {
  CompiledQuery,
  DatabaseConnection,
  Dialect,
  DialectAdapter,
  Driver,
  Kysely,
  QueryResult,
} from "kysely";
import { PostgresAdapter, PostgresQueryCompiler, sql } from "kysely";
import type { PostgresConnection } from "./postgres-connection.ts";
import { TableNames } from "./postgres-names.ts";

/** What the dialect asks of the owner of the connections. */
export interface PostgresConnections {
  /** Resolves with a connection that is the caller's; rejects when there is none. */
  take(): Promise<PostgresConnection>;
  /** Gives it back. */
  give(connection: PostgresConnection): void;
  /** Told the server's clock, in milliseconds since the epoch, whenever it was read. */
  onClock(nowMs: number): void;
  /** Closes all of them. */
  close(): Promise<void>;
}

/**
 * Kysely on PostgreSQL. A driver of our own in the place of Kysely's: it
 * prepares statements, refuses those that come too late, and never takes a
 * commit that was rolled back for one that was not.
 */
export function createPostgresDialect(connections: PostgresConnections): Dialect {
  return {
    createDriver: () => new ConnectionDriver(connections),
    createQueryCompiler: () => new PostgresQueryCompiler(),
    createAdapter: (): DialectAdapter => new TransactionAdapter(),
    createIntrospector: (query) => new TableNames(query),
  };
}

/** The key of the lock that one process has while it creates or alters tables; any constant would do. */
const migrationLock = 4_851_193_072_105_381_473n;

/** Waits until no other process migrates the database, and keeps them waiting until the transaction ends. */
export async function lockMigrations(query: Kysely<unknown>): Promise<void> {
  await sql`select pg_advisory_xact_lock(${sql.lit(migrationLock)})`.execute(query);
}

class TransactionAdapter extends PostgresAdapter {
  /** In the place of Kysely's lock, which must be given back by a statement: a failed transaction refuses that. */
  override acquireMigrationLock(query: Kysely<unknown>): Promise<void> {
    return lockMigrations(query);
  }

  override async releaseMigrationLock(): Promise<void> {}
}

/** What the user of a connection holds. It goes dead when the connection is given back. */
class Turn implements DatabaseConnection {
  readonly #connection: PostgresConnection;
  #over = false;

  constructor(connection: PostgresConnection) {
    this.#connection = connection;
  }

  get connection(): PostgresConnection {
    if (this.#over) {
      throw new Error("the transaction is over: the statement came too late");
    }
    return this.#connection;
  }

  end(): PostgresConnection {
    this.#over = true;
    return this.#connection;
  }

  async executeQuery<Row>(query: CompiledQuery): Promise<QueryResult<Row>> {
    return this.connection.execute<Row>(query);
  }

  /** Reads all rows at once: a cursor would need another package of the driver's. */
  async *streamQuery<Row>(query: CompiledQuery): AsyncIterableIterator<QueryResult<Row>> {
    const { rows } = await this.connection.execute<Row>(query);
    for (const row of rows) {
      yield { rows: [row] };
    }
  }
}

class ConnectionDriver implements Driver {
  readonly #connections: PostgresConnections;

  constructor(connections: PostgresConnections) {
    this.#connections = connections;
  }

  async init(): Promise<void> {}

  async acquireConnection(): Promise<DatabaseConnection> {
    return new Turn(await this.#connections.take());
  }

  async beginTransaction(turn: DatabaseConnection): Promise<void> {
    this.#connections.onClock(await asTurn(turn).connection.begin());
  }

  async commitTransaction(turn: DatabaseConnection): Promise<void> {
    await asTurn(turn).connection.commit();
  }

  async rollbackTransaction(turn: DatabaseConnection): Promise<void> {
    await asTurn(turn).connection.rollback();
  }

  async releaseConnection(turn: DatabaseConnection): Promise<void> {
    this.#connections.give(asTurn(turn).end());
  }

  async destroy(): Promise<void> {
    await this.#connections.close();
  }
}

function asTurn(connection: DatabaseConnection): Turn {
  if (!(connection instanceof Turn)) {
    throw new TypeError("the connection is not one of this driver's");
  }
  return connection;
}
