import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sql } from "kysely";
import pg from "pg";
import { afterAll, inject } from "vitest";
import { openPostgres } from "../src/authority/postgres.ts";
import type { AnySqlDatabase } from "../src/authority/sql-database.ts";
import { openSqlite } from "../src/authority/sqlite.ts";
import type { Place } from "./place.ts";
import { clusterUser } from "./postgres/cluster.ts";

/**
 * Where a test keeps its state: in memory, in a SQLite file, or in PostgreSQL.
 * The test's project says which (vitest.config.ts), so that one suite runs over
 * all of them.
 */
export type StoreKind = "memory" | "file" | "postgres";

declare module "vitest" {
  export interface ProvidedContext {
    store: StoreKind;
    /** Directory of the socket of the project's PostgreSQL server; empty in other projects. */
    postgresHost: string;
  }
}

/** A place for one database, empty at first. */
export interface Store {
  readonly kind: StoreKind;
  /** Opens the database; again, and it is as it was left, except in memory. */
  open(): Promise<AnySqlDatabase>;
  /**
   * Lets another store have the tables, without their rows: on PostgreSQL they
   * take longer to make than most tests take. All that was opened must be closed.
   */
  reuse(): void;
}

/** The kind of store that the running tests are for. */
export const storeKind: StoreKind = inject("store");

/** Makes a store of the project's kind, or of another one. */
export function createStore(kind: StoreKind = storeKind): Store {
  switch (kind) {
    case "memory":
      return { kind, open: () => openSqlite({ path: ":memory:" }), reuse() {} };
    case "file": {
      const path = join(directory(), `${count++}.db`);
      return { kind, open: () => openSqlite({ path }), reuse() {} };
    }
    case "postgres": {
      const used = usedSchemas.pop();
      const schema = used ?? newSchemaName();
      let prepare: typeof createSchema | undefined =
        used === undefined ? createSchema : emptyTables;
      return {
        kind,
        async open() {
          const database = await openSchema(schema, prepare);
          prepare = undefined;
          return database;
        },
        reuse() {
          if (used !== undefined || prepare === undefined) {
            usedSchemas.push(schema);
          }
        },
      };
    }
  }
}

/** Makes a store that keeps its contents: of the project's kind, with a file in the place of memory. */
export function createLastingStore(): Store {
  return createStore(storeKind === "memory" ? "file" : storeKind);
}

/** Makes an empty place for a database that several processes open at once. */
export async function createSharedPlace(): Promise<Place> {
  if (storeKind !== "postgres") {
    return { path: join(directory(), `${count++}.db`) };
  }
  const schema = newSchemaName();
  const database = await openSchema(schema, createSchema);
  await database.close();
  return { config: postgresConfig(schema) };
}

/** Settings of the driver for a schema in the project's PostgreSQL server. */
function postgresConfig(schema: string): Readonly<Record<string, string>> {
  return {
    host: inject("postgresHost"),
    user: clusterUser,
    database: "postgres",
    options: `-c search_path=${schema}`,
  };
}

function newSchemaName(): string {
  return `s_${crypto.randomUUID().replaceAll("-", "")}`;
}

const usedSchemas: string[] = [];

async function openSchema(
  schema: string,
  prepare?: (database: AnySqlDatabase, schema: string) => Promise<void>,
): Promise<AnySqlDatabase> {
  const database = await openPostgres({ driver: pg, config: postgresConfig(schema) });
  await prepare?.(database, schema);
  return database;
}

async function createSchema(database: AnySqlDatabase, schema: string): Promise<void> {
  await sql`create schema ${sql.id(schema)}`.execute(database.withTables().query);
}

async function emptyTables(database: AnySqlDatabase): Promise<void> {
  await sql`
    do $$ declare name text; begin
      for name in select tablename from pg_tables
        where schemaname = current_schema() and tablename not like '%\\_migration%'
      loop execute format('delete from %I', name); end loop;
    end $$
  `.execute(database.withTables().query);
}

let count = 0;
let root: string | undefined;

function directory(): string {
  root ??= mkdtempSync(join(tmpdir(), "countersign-store-"));
  return root;
}

afterAll(() => {
  if (root !== undefined) {
    rmSync(root, { recursive: true, force: true });
    root = undefined;
  }
});
