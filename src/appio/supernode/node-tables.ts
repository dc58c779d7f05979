import type { Generated } from "kysely";
import { sql } from "kysely";
import type { SqlSchema, SqlTransaction, SqlUint64 } from "../../authority/index.ts";
import { compactObjects, createObjects, keepPieces } from "../state/schema.ts";

/**
 * Where a message stands on a node:
 * `arriving` (its objects are being pulled), `waiting` (for a ClientApp), `taken` (by one), `answered` (its reply is
 * stored, perhaps still without all of its objects), `forwarded` (the SuperLink has the reply; the row stays until the
 * ClientApp's token ends, so that a repeated call of the app finds its answer).
 */
export type MessagePhase = "arriving" | "waiting" | "taken" | "answered" | "forwarded";

/** A run that this node has received a message of. */
export interface NodeRunTable {
  run_id: SqlUint64;
  run: Uint8Array;
  fab_hash: string;
  context: Uint8Array;
}

/** When a run was used. Apart from the run, so that noting it does not write contexts and bundles anew. */
export interface NodeRunUseTable {
  run_id: SqlUint64;
  fab_hash: string;
  /** When it last had work, in milliseconds since the epoch. */
  used_at: bigint;
  /** When to ask the SuperLink whether it has ended, if it has no work until then; in milliseconds since the epoch. */
  ask_at: bigint;
}

/** An app bundle, as it travels. */
export interface NodeFabTable {
  hash: string;
  fab: Uint8Array;
}

/** The ClientApp that holds a run at present: one row per live token. */
export interface NodeClaimTable {
  run_id: SqlUint64;
  token_digest: string;
}

/** An instruction, and its reply once there is one: that there is one reply per instruction needs no check. */
export interface NodeMessageTable {
  seq: Generated<bigint>;
  message_id: string;
  run_id: SqlUint64;
  phase: MessagePhase;
  /** How many ClientApps were launched for it. */
  launches: bigint;
  message: Uint8Array;
  tree: Uint8Array;
  /** Digest of the token that took it. */
  token_digest: string | null;
  /** When it was taken and answered, in milliseconds since the epoch. */
  started_at: bigint | null;
  ended_at: bigint | null;
  reply_id: string | null;
  reply: Uint8Array | null;
  reply_tree: Uint8Array | null;
}

/** An object of a reply that the ClientApp has yet to push. */
export interface NodeAwaitedTable {
  seq: bigint;
  run_id: SqlUint64;
  object_id: string;
  /** The object's place in the order in which they are to be pushed. */
  position: bigint;
}

/** The tables of a node's state. */
export interface NodeTables {
  node_run: NodeRunTable;
  node_run_use: NodeRunUseTable;
  node_fab: NodeFabTable;
  node_claim: NodeClaimTable;
  node_message: NodeMessageTable;
  node_awaited: NodeAwaitedTable;
}

/** A transaction on a node's state. */
export type NodeTransaction = SqlTransaction<NodeTables>;

/** How the tables of {@link NodeTables} come about, and those of its objects, which are the SuperLink's. */
export const nodeSchema: SqlSchema = {
  name: "node",
  migrations: {
    "0001_node": {
      async up(db) {
        const bytes = sql`blob`;
        await db.schema
          .createTable("node_run")
          .addColumn("run_id", "bigint", (column) => column.primaryKey())
          .addColumn("run", bytes, (column) => column.notNull())
          .addColumn("fab_hash", "text", (column) => column.notNull())
          .addColumn("context", bytes, (column) => column.notNull())
          .execute();
        await db.schema
          .createTable("node_fab")
          .addColumn("hash", "text", (column) => column.primaryKey())
          .addColumn("fab", bytes, (column) => column.notNull())
          .execute();
        await db.schema
          .createTable("node_claim")
          .addColumn("run_id", "bigint", (column) => column.primaryKey())
          .addColumn("token_digest", "text", (column) => column.notNull())
          .execute();
        await db.schema
          .createTable("node_message")
          .addColumn("seq", "integer", (column) => column.primaryKey().autoIncrement())
          .addColumn("message_id", "text", (column) => column.notNull().unique())
          .addColumn("run_id", "bigint", (column) => column.notNull())
          .addColumn("phase", "text", (column) => column.notNull())
          .addColumn("launches", "bigint", (column) => column.notNull())
          .addColumn("message", bytes, (column) => column.notNull())
          .addColumn("tree", bytes, (column) => column.notNull())
          .addColumn("token_digest", "text")
          .addColumn("started_at", "bigint")
          .addColumn("ended_at", "bigint")
          .addColumn("reply_id", "text")
          .addColumn("reply", bytes)
          .addColumn("reply_tree", bytes)
          .execute();
        await db.schema
          .createIndex("node_message_by_run")
          .on("node_message")
          .columns(["run_id", "phase", "seq"])
          .execute();
        await db.schema
          .createTable("node_awaited")
          .addColumn("seq", "bigint", (column) => column.notNull())
          .addColumn("run_id", "bigint", (column) => column.notNull())
          .addColumn("object_id", "text", (column) => column.notNull())
          .addColumn("position", "bigint", (column) => column.notNull())
          .addPrimaryKeyConstraint("node_awaited_key", ["seq", "object_id"])
          .execute();
        await db.schema
          .createIndex("node_awaited_by_object")
          .on("node_awaited")
          .columns(["run_id", "object_id"])
          .execute();
      },
    },
    "0002_objects": { up: (db) => createObjects(db, sql`blob`) },
    "0003_compact_objects": { up: (db) => compactObjects(db, "sqlite") },
    "0004_run_use": {
      async up(db) {
        await db.schema
          .createTable("node_run_use")
          .addColumn("run_id", "bigint", (column) => column.primaryKey())
          .addColumn("fab_hash", "text", (column) => column.notNull())
          .addColumn("used_at", "bigint", (column) => column.notNull())
          .addColumn("ask_at", "bigint", (column) => column.notNull())
          .execute();
        await db.schema
          .createIndex("node_run_to_ask")
          .on("node_run_use")
          .columns(["ask_at", "run_id"])
          .execute();
      },
    },
    "0005_pieces": { up: (db) => keepPieces(db, "sqlite") },
  },
};
