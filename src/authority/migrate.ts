import type { Migration } from "kysely/migration";
import { Migrator } from "kysely/migration";
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
    const migrator = new Migrator({
      db: tx.query,
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
