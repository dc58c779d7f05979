import { SqlError, type SqlErrorReason } from "./sql-error.ts";

/**
 * Primary result codes (sqlite.org/rescode.html) that may pass: SQLITE_BUSY,
 * LOCKED, NOMEM, READONLY, IOERR, FULL and CANTOPEN. They are about the file
 * and its disk, not about the statement.
 */
const passing: ReadonlySet<number> = new Set([5, 6, 7, 8, 10, 13, 14]);

/**
 * Turns what node:sqlite has thrown into an error without parameters and rows.
 * What is no error of SQLite's stays as it is.
 */
export function toSqlError(error: unknown): unknown {
  if (!(error instanceof Error && "errcode" in error && typeof error.errcode === "number")) {
    return error;
  }
  // Extended codes have the primary one in their low byte.
  const reason: SqlErrorReason = passing.has(error.errcode & 0xff) ? "unavailable" : "refused";
  const text =
    reason === "unavailable" ? `the database is unavailable: ${error.message}` : error.message;
  return new SqlError(text, reason);
}
