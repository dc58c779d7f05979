import type { Kysely } from "kysely";
import { sql } from "kysely";
import type { Migration } from "kysely/migration";
import { Migrator } from "kysely/migration";
import { lockMigrations } from "./postgres-dialect.ts";
import type { AnySqlDatabase } from "./sql-database.ts";

/** The tables of one part of the program, as the steps that lead to them. */
export interface SqlSchema {
  /** Whose tables they are: a lower-case word; it names the table that remembers the steps taken. */
  readonly name: string;
  /**
   * The steps, run in the alphabetical order of their names (`"0001_tokens"`).
   * A published step is never changed, only followed by another one.
   */
  readonly migrations: Readonly<Record<string, Migration>>;
}

/**
 * Brings the tables of one schema up to date, in one transaction: several
 * processes may start on one database at once.
 *
 * @throws the error of the step that failed (nothing is changed then), or an
 * Error if the database has steps that this version does not know.
 */
export async function migrate(database: AnySqlDatabase, schema: SqlSchema): Promise<void> {
  await database.withTables<unknown>().transaction(async (tx) => {
    const located = database.engine === "postgres" ? await inCurrentSchema(tx.query) : {};
    const migrator = new Migrator({
      db: tx.query,
      ...located,
      provider: { getMigrations: async () => ({ ...schema.migrations }) },
      migrationTableName: `${schema.name}_migration`,
      migrationLockTableName: `${schema.name}_migration_lock`,
    });
    const { error } = await migrator.migrateToLatest();
    if (error !== undefined) {
      throw error;
    }
  });
}

/**
 * Waits for others who migrate: two that create one table at once would both
 * fail. And names the schema, since Kysely looks for its tables in all of them.
 */
async function inCurrentSchema(
  query: Kysely<unknown>,
): Promise<{ readonly migrationTableSchema: string }> {
  await lockMigrations(query);
  const { rows } = await sql<{ name: string | null }>`select current_schema() as name`.execute(
    query,
  );
  const name = rows[0]?.name;
  if (name === undefined || name === null) {
    throw new Error("the database has no schema to create tables in: see its search_path");
  }
  return { migrationTableSchema: name };
}
