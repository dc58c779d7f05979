import type { CompiledQuery, QueryResult } from "kysely";
import type { PostgresClient, PostgresResult, PostgresStatement } from "./postgres-driver.ts";
import { endsConnection, isRolledBack, toSqlError } from "./postgres-errors.ts";
import { encodeParameters } from "./postgres-values.ts";
import type { StatementNames } from "./statement-names.ts";
import { createTurnQueue } from "./turn-queue.ts";

/** One connection to PostgreSQL, for one user at a time. */
export interface PostgresConnection {
  /** Runs one statement, alone or in the running transaction; after what was asked before. */
  execute<Row>(query: CompiledQuery): Promise<QueryResult<Row>>;
  /** Starts a transaction, and returns the server's clock, in milliseconds since the epoch. */
  begin(): Promise<number>;
  /** Commits. Rejects if a statement of the transaction was refused: it is rolled back then. */
  commit(): Promise<void>;
  /** Ends the transaction without its changes. Never rejects. */
  rollback(): Promise<void>;
  /** Gives the connection back; away for good, if it may be left in a transaction. */
  release(): void;
}

/** Isolation is named, since a server's default may be another one. */
const beginStatement =
  "begin isolation level read committed; " +
  "select cast(floor(extract(epoch from clock_timestamp()) * 1000) as bigint) as now_ms";

/** How often a statement of its own is tried when the server rolls it back in favour of others. */
const maxTries = 5;

interface RunningTransaction {
  failure?: unknown;
}

/** Takes over a connection of a pool. */
export function createPostgresConnection(
  client: PostgresClient,
  names: StatementNames | undefined,
): PostgresConnection {
  // The driver must not be asked for two things at once on one connection.
  const queue = createTurnQueue();
  let transaction: RunningTransaction | undefined;
  let isBroken = false;

  async function ask(statement: PostgresStatement): Promise<readonly PostgresResult[]> {
    try {
      return [await client.query(statement)].flat();
    } catch (error) {
      const failure = toSqlError(error);
      isBroken ||= endsConnection(failure);
      throw failure;
    }
  }

  async function inTurn<T>(work: () => Promise<T>): Promise<T> {
    await queue.enter();
    try {
      return await work();
    } finally {
      queue.leave();
    }
  }

  /** After an error the server takes no statement of the transaction any more. */
  async function inTransaction<T>(
    { failure }: RunningTransaction,
    work: () => Promise<T>,
  ): Promise<T> {
    if (failure !== undefined) {
      const text = "the transaction has failed: one of its statements was refused";
      throw new Error(text, { cause: failure });
    }
    try {
      return await work();
    } catch (error) {
      if (transaction !== undefined) {
        transaction.failure = error;
      }
      throw error;
    }
  }

  /** A single statement is a transaction of its own: what was rolled back can be done again. */
  async function askAgain(statement: PostgresStatement): Promise<readonly PostgresResult[]> {
    for (let tries = 1; ; tries++) {
      try {
        return await ask(statement);
      } catch (error) {
        if (tries >= maxTries || isBroken || !isRolledBack(error)) {
          throw error;
        }
      }
    }
  }

  return {
    execute: <Row>(query: CompiledQuery) =>
      inTurn(async (): Promise<QueryResult<Row>> => {
        const running = transaction;
        const results = await (running === undefined
          ? askAgain(toStatement(query, names))
          : inTransaction(running, async () => ask(toStatement(query, names))));
        return toQueryResult<Row>(results.at(-1));
      }),
    begin: () =>
      inTurn(async () => {
        const results = await ask({ text: beginStatement });
        transaction = {};
        return readClock(results.at(-1));
      }),
    commit: () =>
      inTurn(async () => {
        const [result] = await inTransaction(running(), () => ask({ text: "commit" }));
        // The server's way to say that the transaction had failed.
        if (result?.command !== "COMMIT") {
          throw new Error("the transaction was rolled back instead of committed");
        }
        transaction = undefined;
      }),
    rollback: () =>
      inTurn(async () => {
        if (transaction === undefined) {
          return;
        }
        transaction = undefined;
        await ask({ text: "rollback" }).catch(() => {
          isBroken = true;
        });
      }),
    release() {
      client.release(isBroken || transaction !== undefined);
    },
  };

  function running(): RunningTransaction {
    if (transaction === undefined) {
      throw new Error("there is no running transaction");
    }
    return transaction;
  }
}

function toStatement(
  { sql, parameters }: CompiledQuery,
  names: StatementNames | undefined,
): PostgresStatement {
  const name = names?.nameOf(sql, parameters.length);
  return {
    text: sql,
    values: encodeParameters(parameters),
    ...(name === undefined ? {} : { name }),
  };
}

function toQueryResult<Row>(result: PostgresResult | undefined): QueryResult<Row> {
  const rows = asRows<Row>(result?.rows ?? []);
  switch (result?.command) {
    case "INSERT":
    case "UPDATE":
    case "DELETE":
    case "MERGE":
      return { rows, numAffectedRows: BigInt(result.rowCount ?? 0) };
    default:
      return { rows };
  }
}

/** The one place where rows get the type that the query's author derived from the tables. */
function asRows<Row>(rows: readonly unknown[]): Row[] {
  return rows as Row[];
}

function readClock(result: PostgresResult | undefined): number {
  const [row] = asRows<{ now_ms?: unknown }>(result?.rows ?? []);
  if (typeof row?.now_ms !== "bigint") {
    throw new TypeError("PostgreSQL's driver must return a result for each of several statements");
  }
  return Number(row.now_ms);
}
