import type { DatabaseSync, SQLInputValue, StatementSync } from "node:sqlite";

/**
 * Prepared statements by their SQL. Programs have few distinct ones; the limit
 * only bounds what lists of varying length (`in (?, ?, ...)`) would pile up.
 */
export interface StatementCache {
  /** Returns the prepared statement, preparing it at its first use. */
  get(sql: string): StatementSync;
}

/** Creates a cache that keeps the `limit` statements used last. */
export function createStatementCache(database: DatabaseSync, limit: number): StatementCache {
  const statements = new Map<string, StatementSync>();
  return {
    get(sql) {
      const statement = statements.get(sql) ?? prepareStatement(database, sql);
      // A Map iterates in the order of insertion: the first key is the one unused for longest.
      statements.delete(sql);
      statements.set(sql, statement);
      for (const oldest of statements.keys()) {
        if (statements.size <= limit) {
          break;
        }
        statements.delete(oldest);
      }
      return statement;
    },
  };
}

/** Prepares a statement that reads integers as bigints: as numbers, those above 2^53 would throw. */
export function prepareStatement(database: DatabaseSync, sql: string): StatementSync {
  const statement = database.prepare(sql);
  statement.setReadBigInts(true);
  return statement;
}

/**
 * Turns Kysely's parameters into SQLite's. Whole numbers are bound as integers,
 * since node:sqlite binds every number as a float, and `? / 2` would differ.
 *
 * @throws TypeError if a value has no SQL form; the message shows its type, never the value.
 */
export function bindParameters(parameters: readonly unknown[]): SQLInputValue[] {
  return parameters.map(bindParameter);
}

function bindParameter(value: unknown): SQLInputValue {
  if (value === null || typeof value === "string" || typeof value === "bigint") {
    return value;
  }
  // SQLite would store NaN as NULL.
  if (typeof value === "number" && !Number.isNaN(value)) {
    return Number.isSafeInteger(value) ? BigInt(value) : value;
  }
  if (value instanceof Uint8Array) {
    return value;
  }
  const found = Number.isNaN(value) ? "NaN" : typeof value;
  throw new TypeError(
    `a SQL parameter must be a string, number, bigint, Uint8Array or null, not ${found}`,
  );
}
