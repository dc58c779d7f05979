import type {
  CompiledQuery,
  DatabaseConnection,
  Dialect,
  DialectAdapter,
  Driver,
  QueryResult,
} from "kysely";
import { SqliteAdapter, SqliteIntrospector, SqliteQueryCompiler } from "kysely";
import type { SqliteConnection } from "./sqlite-connection.ts";

/** What the dialect asks of the owner of the connection. */
export interface SqliteTurns {
  /** Resolves when the connection is the caller's; rejects when it never will be. */
  take(): Promise<SqliteConnection>;
  /** Gives the connection to the next one waiting. */
  give(): void;
  /** Closes the connection. */
  close(): Promise<void>;
}

/** Kysely on one node:sqlite connection, whose users take turns. */
export function createSqliteDialect(turns: SqliteTurns): Dialect {
  return {
    createDriver: () => new TurnDriver(turns),
    createQueryCompiler: () => new SqliteQueryCompiler(),
    createAdapter: (): DialectAdapter => new TurnAdapter(),
    createIntrospector: (query) => new SqliteIntrospector(query),
  };
}

class TurnAdapter extends SqliteAdapter {
  /** The driver below queues by itself: Kysely's own mutex cannot tell a caller that waits for itself. */
  override get supportsMultipleConnections(): boolean {
    return true;
  }

  /** True of SQLite, and needed to run all migrations of a schema in one transaction. */
  override get supportsTransactionalDdl(): boolean {
    return true;
  }
}

/**
 * What the user of one turn holds. It goes dead with the turn: a statement that
 * was started too late is refused, and cannot end up in a transaction of others.
 */
class Turn implements DatabaseConnection {
  readonly #connection: SqliteConnection;
  #over = false;

  constructor(connection: SqliteConnection) {
    this.#connection = connection;
  }

  get connection(): SqliteConnection {
    if (this.#over) {
      throw new Error("the transaction is over: the statement came too late");
    }
    return this.#connection;
  }

  end(): void {
    this.#over = true;
  }

  async executeQuery<Row>(query: CompiledQuery): Promise<QueryResult<Row>> {
    return this.connection.execute<Row>(query);
  }

  async *streamQuery<Row>(query: CompiledQuery): AsyncIterableIterator<QueryResult<Row>> {
    for (const row of this.connection.iterate<Row>(query)) {
      yield { rows: [row] };
      // Throws when the turn ended between two rows.
      void this.connection;
    }
  }
}

class TurnDriver implements Driver {
  readonly #turns: SqliteTurns;

  constructor(turns: SqliteTurns) {
    this.#turns = turns;
  }

  async init(): Promise<void> {}

  async acquireConnection(): Promise<DatabaseConnection> {
    return new Turn(await this.#turns.take());
  }

  async beginTransaction(turn: DatabaseConnection): Promise<void> {
    asTurn(turn).connection.begin();
  }

  async commitTransaction(turn: DatabaseConnection): Promise<void> {
    asTurn(turn).connection.commit();
  }

  async rollbackTransaction(turn: DatabaseConnection): Promise<void> {
    asTurn(turn).connection.rollback();
  }

  async releaseConnection(turn: DatabaseConnection): Promise<void> {
    asTurn(turn).end();
    this.#turns.give();
  }

  async destroy(): Promise<void> {
    await this.#turns.close();
  }
}

function asTurn(connection: DatabaseConnection): Turn {
  if (!(connection instanceof Turn)) {
    throw new TypeError("the connection is not one of this driver's");
  }
  return connection;
}
