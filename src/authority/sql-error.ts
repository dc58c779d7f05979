/**
 * Why a database did not do what it was asked.
 *
 * - `unavailable`: it cannot be reached, is full or busy, or gave the statement
 *   up in favour of others. The same may succeed later.
 * - `unstorable`: a text holds what the database cannot keep (U+0000).
 * - `refused`: anything else; a constraint or a mistake in the statement.
 */
export type SqlErrorReason = "unavailable" | "unstorable" | "refused";

/**
 * What a database answers instead of a result. Carries neither the
 * parameters nor the rows of the statement, which may be secret.
 */
export class SqlError extends Error {
  override readonly name = "SqlError";
  readonly reason: SqlErrorReason;
  /** The five characters of PostgreSQL's SQLSTATE, as far as a server was asked. */
  readonly sqlState: string | undefined;

  constructor(message: string, reason: SqlErrorReason, sqlState?: string) {
    super(message);
    this.reason = reason;
    this.sqlState = sqlState;
  }
}
