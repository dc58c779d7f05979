import type { DatabaseIntrospector, Kysely, SchemaMetadata, TableMetadata } from "kysely";
import { sql } from "kysely";

/**
 * Tells Kysely's migrator which tables there are, by name and schema: all that
 * it asks for. Kysely's own introspector describes every column of the whole
 * database each time.
 */
export class TableNames implements DatabaseIntrospector {
  readonly #query: Kysely<unknown>;

  constructor(query: Kysely<unknown>) {
    this.#query = query;
  }

  async getSchemas(): Promise<SchemaMetadata[]> {
    const { rows } = await sql<SchemaMetadata>`
      select nspname as name from pg_catalog.pg_namespace
    `.execute(this.#query);
    return rows;
  }

  async getTables(): Promise<TableMetadata[]> {
    const { rows } = await sql<{ schema: string; name: string }>`
      select schemaname as schema, tablename as name from pg_catalog.pg_tables
      where schemaname = any (current_schemas(false))
    `.execute(this.#query);
    return rows.map((table) => ({ ...table, isView: false, isForeign: false, columns: [] }));
  }
}
