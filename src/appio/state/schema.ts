import type { CreateTableBuilder, Kysely, RawBuilder } from "kysely";
import { sql } from "kysely";
import type { SqlSchema } from "../../authority/migrate.ts";
import type { SqlEngine } from "../../authority/sql-database.ts";
import { pieceBytes } from "./large-bytes.ts";

/** Returns the steps that create the tables of the AppIo state on one engine. */
export function stateSchema(engine: SqlEngine): SqlSchema {
  const bytes = engine === "postgres" ? sql`bytea` : sql`blob`;
  return {
    name: "appio_state",
    migrations: {
      "0001_runs": { up: (db) => createRuns(db, engine, bytes) },
      "0002_nodes": { up: (db) => createNodes(db, bytes) },
      "0003_messages": { up: (db) => createMessages(db, engine, bytes) },
      "0004_objects": { up: (db) => createObjects(db, bytes) },
      "0005_uncompressed": { up: (db) => keepUncompressed(db, engine) },
      "0006_compact_objects": { up: (db) => compactObjects(db, engine) },
      "0007_one_reply_per_id": { up: makeReplyIdsUnique },
      "0008_heartbeats": { up: keepHeartbeats },
      "0009_pieces": { up: (db) => keepPieces(db, engine) },
    },
  };
}

/**
 * PostgreSQL tries to compress what is large. Weights of models hardly shrink,
 * and parts of what is compressed cannot be read by themselves.
 */
async function keepUncompressed(db: Kysely<unknown>, engine: SqlEngine): Promise<void> {
  if (engine === "postgres") {
    await sql`alter table object_content alter column content set storage external`.execute(db);
    await sql`alter table serverapp_context alter column context set storage external`.execute(db);
  }
}

/** A node that is online and has sent no heartbeat may have missed the answer to its activation. */
async function keepHeartbeats(db: Kysely<unknown>): Promise<void> {
  await db.schema.alterTable("node").addColumn("heartbeat_at", "double precision").execute();
  // Whoever was online before has its answer.
  await sql`update node set heartbeat_at = registered_at where online_until is not null`.execute(
    db,
  );
}

/** A node's reply cannot take the id, and with it the objects, of another reply. */
async function makeReplyIdsUnique(db: Kysely<unknown>): Promise<void> {
  await db.schema.dropIndex("reply_by_id").execute();
  await db.schema
    .createIndex("reply_by_id")
    .unique()
    .on("reply")
    .columns(["run_id", "message_id"])
    .execute();
  // For counting error replies: there are few, among many others.
  await db.schema
    .createIndex("reply_error")
    .on("reply")
    .columns(["run_id", "expires_at"])
    .where(sql`is_error`, "=", sql`1`)
    .execute();
}

/**
 * On SQLite, keeps the rows of objects in the order of their keys, which it else
 * keeps beside them: an object is written once instead of twice, an edge twice
 * instead of three times.
 */
export async function compactObjects(db: Kysely<unknown>, engine: SqlEngine): Promise<void> {
  if (engine !== "sqlite") {
    return;
  }
  await db.schema.dropIndex("run_object_parents").execute();
  await db.schema.alterTable("run_object").renameTo("loose_run_object").execute();
  await db.schema.alterTable("run_object_child").renameTo("loose_run_object_child").execute();
  await createRunObjects(db, sql`without rowid`);
  for (const table of ["run_object", "run_object_child"]) {
    await sql`insert into ${sql.table(table)} select * from ${sql.table(`loose_${table}`)}`.execute(
      db,
    );
    await db.schema.dropTable(`loose_${table}`).execute();
  }
  await db.schema
    .createIndex("run_object_parents")
    .on("run_object_child")
    .columns(["run_id", "child_id"])
    .execute();
}

/**
 * Keeps the bytes of an object in rows of a bounded size. Those that are there
 * already stay whole on SQLite, which can read them so. The column has another
 * name: a former version that still uses the database fails, where it would take
 * a piece for the whole.
 */
export async function keepPieces(db: Kysely<unknown>, engine: SqlEngine): Promise<void> {
  if (engine === "postgres") {
    await splitContents(db);
    return;
  }
  await db.schema.alterTable("object_content").renameTo("whole_object_content").execute();
  await db.schema
    .createTable("object_content")
    .addColumn("object_id", "text", (column) => column.notNull())
    .addColumn("start", "bigint", (column) => column.notNull())
    .addColumn("piece", sql`blob`, (column) => column.notNull())
    .addPrimaryKeyConstraint("object_content_piece", ["object_id", "start"])
    .execute();
  await sql`
    insert into object_content (object_id, start, piece)
    select object_id, 0, content from whole_object_content
  `.execute(db);
  await db.schema.dropTable("whole_object_content").execute();
}

/** On PostgreSQL no statement reads more than a piece, and the rows stay in their table. */
async function splitContents(db: Kysely<unknown>): Promise<void> {
  const most = sql.lit(pieceBytes.postgres);
  await sql`
    alter table object_content
      add column start bigint not null default 0,
      drop constraint object_content_pkey,
      add constraint object_content_piece primary key (object_id, start)
  `.execute(db);
  await sql`alter table object_content alter column start drop default`.execute(db);
  await sql`alter table object_content rename column content to piece`.execute(db);
  await sql`
    insert into object_content (object_id, start, piece)
    select object_id, first, substring(piece from first + 1 for ${most})
    from object_content, generate_series(${most}, octet_length(piece) - 1, ${most}) as first
  `.execute(db);
  await sql`
    update object_content set piece = substring(piece from 1 for ${most})
    where octet_length(piece) > ${most}
  `.execute(db);
}

type Bytes = ReturnType<typeof sql>;

/** A key that numbers the rows in the order in which they were added, and never reuses a number. */
function withSequence<Name extends string>(
  table: CreateTableBuilder<Name>,
  engine: SqlEngine,
): CreateTableBuilder<Name | "sequence"> {
  return engine === "postgres"
    ? table.addColumn("sequence", "bigserial", (column) => column.primaryKey())
    : table.addColumn("sequence", "integer", (column) => column.primaryKey().autoIncrement());
}

async function createRuns(db: Kysely<unknown>, engine: SqlEngine, bytes: Bytes): Promise<void> {
  await withSequence(db.schema.createTable("run"), engine)
    .addColumn("run_id", "bigint", (column) => column.notNull().unique())
    .addColumn("run_type", "text", (column) => column.notNull())
    .addColumn("federation", "text", (column) => column.notNull())
    .addColumn("fab_id", "text", (column) => column.notNull())
    .addColumn("fab_version", "text", (column) => column.notNull())
    .addColumn("fab_hash", "text", (column) => column.notNull())
    .addColumn("override_config", bytes, (column) => column.notNull())
    .addColumn("federation_options", bytes, (column) => column.notNull())
    .addColumn("pending_at", "double precision", (column) => column.notNull())
    .addColumn("starting_at", "double precision")
    .addColumn("running_at", "double precision")
    .addColumn("finished_at", "double precision")
    .addColumn("sub_status", "text", (column) => column.notNull().defaultTo(""))
    .addColumn("details", "text", (column) => column.notNull().defaultTo(""))
    .addColumn("bytes_sent", "bigint", (column) => column.notNull().defaultTo(0))
    .addColumn("bytes_received", "bigint", (column) => column.notNull().defaultTo(0))
    .addColumn("clientapp_runtime", "double precision", (column) => column.notNull().defaultTo(0))
    .execute();
  await db.schema
    .createIndex("run_to_claim")
    .on("run")
    .column("sequence")
    .where(sql`starting_at`, "is", null)
    .where(sql`finished_at`, "is", null)
    .execute();
  await db.schema
    .createTable("fab")
    .addColumn("hash", "text", (column) => column.primaryKey())
    .addColumn("content", bytes, (column) => column.notNull())
    .execute();
  await db.schema
    .createTable("serverapp_context")
    .addColumn("run_id", "bigint", (column) => column.primaryKey())
    .addColumn("context", bytes, (column) => column.notNull())
    .execute();
  await withSequence(db.schema.createTable("run_log"), engine)
    .addColumn("run_id", "bigint", (column) => column.notNull())
    .addColumn("logged_at", "double precision", (column) => column.notNull())
    .addColumn("text", "text", (column) => column.notNull())
    .execute();
  await db.schema
    .createIndex("run_log_by_time")
    .on("run_log")
    .columns(["run_id", "logged_at"])
    .execute();
}

async function createNodes(db: Kysely<unknown>, bytes: Bytes): Promise<void> {
  await db.schema
    .createTable("node")
    .addColumn("node_id", "bigint", (column) => column.primaryKey())
    .addColumn("public_key", bytes, (column) => column.notNull().unique())
    .addColumn("registered_at", "double precision", (column) => column.notNull())
    .addColumn("online_until", "double precision")
    .addColumn("unregistered_at", "double precision")
    .execute();
}

async function createMessages(db: Kysely<unknown>, engine: SqlEngine, bytes: Bytes): Promise<void> {
  await withSequence(db.schema.createTable("instruction"), engine)
    .addColumn("run_id", "bigint", (column) => column.notNull())
    .addColumn("message_id", "text", (column) => column.notNull())
    .addColumn("dst_node_id", "bigint", (column) => column.notNull())
    .addColumn("expires_at", "double precision", (column) => column.notNull())
    .addColumn("delivered_at", "double precision")
    .addColumn("message", bytes, (column) => column.notNull())
    .addColumn("tree", bytes, (column) => column.notNull())
    .addUniqueConstraint("instruction_id", ["run_id", "message_id"])
    .execute();
  await db.schema
    .createIndex("instruction_to_deliver")
    .on("instruction")
    .columns(["dst_node_id", "sequence"])
    .execute();
  await db.schema
    .createTable("reply")
    .addColumn("run_id", "bigint", (column) => column.notNull())
    .addColumn("instruction_id", "text", (column) => column.notNull())
    .addColumn("message_id", "text", (column) => column.notNull())
    .addColumn("expires_at", "double precision", (column) => column.notNull())
    .addColumn("is_error", "integer", (column) => column.notNull())
    .addColumn("message", bytes, (column) => column.notNull())
    .addColumn("tree", bytes, (column) => column.notNull())
    .addPrimaryKeyConstraint("reply_to", ["run_id", "instruction_id"])
    .execute();
  await db.schema
    .createIndex("reply_by_id")
    .on("reply")
    .columns(["run_id", "message_id"])
    .execute();
}

/** Creates the tables of the objects, which a SuperLink and a node have alike. */
export async function createObjects(db: Kysely<unknown>, bytes: Bytes): Promise<void> {
  await createRunObjects(db, sql``);
  await db.schema
    .createIndex("run_object_parents")
    .on("run_object_child")
    .columns(["run_id", "child_id", "parent_id"])
    .execute();
  await db.schema
    .createTable("object")
    .addColumn("object_id", "text", (column) => column.primaryKey())
    .addColumn("holders", "bigint", (column) => column.notNull())
    .execute();
  await db.schema
    .createIndex("object_unheld")
    .on("object")
    .column("holders")
    .where(sql`holders`, "<=", 0)
    .execute();
  await db.schema
    .createTable("object_content")
    .addColumn("object_id", "text", (column) => column.primaryKey())
    .addColumn("content", bytes, (column) => column.notNull())
    .execute();
}

async function createRunObjects(db: Kysely<unknown>, layout: RawBuilder<unknown>): Promise<void> {
  await db.schema
    .createTable("run_object")
    .addColumn("run_id", "bigint", (column) => column.notNull())
    .addColumn("object_id", "text", (column) => column.notNull())
    .addColumn("is_available", "integer", (column) => column.notNull().defaultTo(0))
    .addPrimaryKeyConstraint("run_object_id", ["run_id", "object_id"])
    .modifyEnd(layout)
    .execute();
  await db.schema
    .createTable("run_object_child")
    .addColumn("run_id", "bigint", (column) => column.notNull())
    .addColumn("parent_id", "text", (column) => column.notNull())
    .addColumn("child_id", "text", (column) => column.notNull())
    .addPrimaryKeyConstraint("run_object_edge", ["run_id", "parent_id", "child_id"])
    .modifyEnd(layout)
    .execute();
}
