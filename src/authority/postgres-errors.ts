import { SqlError, type SqlErrorReason } from "./sql-error.ts";

/**
 * Classes of SQLSTATE (PostgreSQL documentation, appendix A) that may pass:
 * connection, transaction rollback, resources, operator intervention; and the
 * time-outs of locks and of idle transactions.
 */
const passing = /^(?:08|40|53|57|55P03|25P0[34])/;

/** A character that is not in the database's encoding: U+0000 in all of them. */
const unstorable = /^22(?:021|P05)$/;

/** Serialization failure, deadlock, and a prepared statement whose table was altered meanwhile. */
const rolledBack = /^(?:40001|40P01|0A000)$/;

/** Turns what the driver has thrown into an error without parameters, rows and addresses of secrets. */
export function toSqlError(error: unknown): SqlError {
  if (error instanceof SqlError) {
    return error;
  }
  const message = error instanceof Error ? error.message : "unknown error";
  const sqlState = sqlStateOf(error);
  // Without one it was not the server that answered, but the way to it that failed.
  const reason = sqlState === undefined ? "unavailable" : reasonOf(sqlState);
  const text = reason === "unavailable" ? `the database is unavailable: ${message}` : message;
  return new SqlError(text, reason, sqlState);
}

/**
 * Whether the server has rolled back what it was doing for reasons that lie
 * with others, so that doing it again from the start is safe and may succeed.
 */
export function isRolledBack(error: unknown): boolean {
  return error instanceof SqlError && rolledBack.test(error.sqlState ?? "");
}

/**
 * Whether the connection is of no use after an error: it has broken, the server
 * ends it, or a statement prepared on it went stale.
 */
export function endsConnection({ sqlState }: SqlError): boolean {
  return sqlState === undefined || /^(?:08|57P0|25P0[34]|0A000)/.test(sqlState);
}

function reasonOf(sqlState: string): SqlErrorReason {
  if (passing.test(sqlState)) {
    return "unavailable";
  }
  return unstorable.test(sqlState) ? "unstorable" : "refused";
}

/** Errors of the server have a severity; the codes of Node's own errors (`ECONNREFUSED`) are something else. */
function sqlStateOf(error: unknown): string | undefined {
  return error instanceof Error &&
    "severity" in error &&
    "code" in error &&
    typeof error.code === "string"
    ? error.code
    : undefined;
}
