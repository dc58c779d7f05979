import type { SqlDatabase } from "./sql-database.ts";

/** How to open a SQLite database. */
export interface SqliteOptions {
  /** Path of the file, created if absent; or `:memory:`, which lives as long as it is open. */
  readonly path: string;
  /**
   * `exclusive` (default): the file belongs to this process until it is closed.
   * `shared`: other processes may open it too, also with `shared`.
   */
  readonly lock?: "exclusive" | "shared";
}

/**
 * Opens a SQLite database (node:sqlite).
 *
 * @throws TypeError if an option is wrong; Error naming the file if it cannot be opened or another process has it.
 */
export async function openSqlite<Tables>(options: SqliteOptions): Promise<SqlDatabase<Tables>> {
  throw new Error(`not built yet: ${options.path}`);
}
