import pg from "pg";
import { openPostgres } from "../src/authority/postgres.ts";
import type { AnySqlDatabase } from "../src/authority/sql-database.ts";
import { openSqlite } from "../src/authority/sqlite.ts";

/** Where a database is, as a test tells the processes it starts: a SQLite file, or settings of PostgreSQL's driver. */
export type Place =
  | { readonly path: string }
  | { readonly config: Readonly<Record<string, string>> };

/** Opens a database that other processes use too. */
export function openPlace(place: Place): Promise<AnySqlDatabase> {
  return "path" in place
    ? openSqlite({ path: place.path, lock: "shared" })
    : openPostgres({ driver: pg, config: place.config });
}
