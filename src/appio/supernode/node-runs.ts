import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { type Expression, type ExpressionBuilder, type SqlBool, sql } from "kysely";
import { type Fab, FabSchema } from "../../../gen/flwr/proto/fab_pb.ts";
import { type Context, ContextSchema } from "../../../gen/flwr/proto/message_pb.ts";
import { type Run, RunSchema } from "../../../gen/flwr/proto/run_pb.ts";
import {
  type Authority,
  fromSqlInteger,
  type SqlDatabase,
  toSqlInteger,
} from "../../authority/index.ts";
import type { NodeLifetime } from "./node-lifetime.ts";
import { nodeObjects } from "./node-objects.ts";
import type { NodeTables, NodeTransaction } from "./node-tables.ts";

/** A run as the SuperLink describes it, for {@link NodeRuns.add}. */
export interface ReceivedRun {
  readonly run: Run;
  readonly fab: Fab;
  /** What the run's ClientApps start from on this node. */
  readonly context: Context;
}

/** A run that a node knows. */
export interface KnownRun {
  readonly run: Run;
  /** Whether the run's bundle is here: {@link NodeRuns} drops those that nobody needs at present. */
  readonly hasBundle: boolean;
}

/**
 * The runs that a node has worked for. A run has work while one of its messages is on the node and its reply has not
 * been forwarded. Without work its bundle can be fetched again; its context cannot, and stays until the run has ended.
 */
export interface NodeRuns {
  find(runId: bigint): Promise<KnownRun | undefined>;
  /** Stores a run; one that is known already keeps the context its ClientApps have left. */
  add(received: ReceivedRun): Promise<void>;
  /**
   * Stores a bundle. While all of them take more than `maxBundleBytes`, those of runs without work go, the one first
   * that has not been used for the longest time.
   */
  addBundle(fab: Fab): Promise<void>;
  /**
   * The run to ask the SuperLink about: one that has had no work for {@link firstPauseMs}, and then each time for twice
   * as long, or {@link longestPauseMs} longer; undefined when there is none.
   */
  nextToAsk(): Promise<bigint | undefined>;
  /** Notes that a run was asked about, and may still need what is here. */
  keep(runId: bigint): Promise<void>;
  /**
   * Forgets a run that has ended: its context, its token, its objects, and its bundle unless another run has the same.
   *
   * @returns false, and changes nothing, when the run has work or is unknown
   */
  forget(runId: bigint): Promise<boolean>;
}

/** How long a run has no work before the SuperLink is asked about it, in milliseconds. */
export const firstPauseMs = 60_000;

/** The longest time between two questions about a run, in milliseconds. */
export const longestPauseMs = 30 * 60_000;

/** What {@link createNodeRuns} works on. */
export interface NodeRunsOptions {
  readonly database: SqlDatabase<NodeTables>;
  readonly authority: Authority;
  readonly lifetime: NodeLifetime;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Bytes that bundles may take before those of runs without work are dropped. */
  readonly maxBundleBytes: number;
}

/** Creates the part of a node's state that keeps its runs. */
export function createNodeRuns(options: NodeRunsOptions): NodeRuns {
  const { database, authority, lifetime, now, maxBundleBytes } = options;

  async function storeBundle(tx: NodeTransaction, fab: Fab): Promise<void> {
    await tx.query
      .insertInto("node_fab")
      .values({ hash: fab.hashStr, fab: toBinary(FabSchema, fab) })
      .onConflict((conflict) => conflict.column("hash").doNothing())
      .execute();
    const bundles = await tx.query
      .selectFrom("node_fab")
      // Of a blob SQLite knows the length without reading it.
      .select(["hash", sql<bigint>`length(fab)`.as("size")])
      .orderBy(({ selectFrom }) =>
        selectFrom("node_run_use")
          .select(({ fn }) => fn.max("used_at").as("used_at"))
          .whereRef("node_run_use.fab_hash", "=", "node_fab.hash"),
      )
      .execute();
    let total = bundles.reduce((sum, { size }) => sum + size, 0n);
    for (const { hash, size } of bundles) {
      if (total <= maxBundleBytes) {
        return;
      }
      if (hash !== fab.hashStr && (await dropBundle(tx, hash))) {
        total -= size;
      }
    }
  }

  return {
    async find(runId) {
      const row = await database.query
        .selectFrom("node_run")
        .select([
          "run",
          ({ exists, selectFrom }) =>
            exists(
              selectFrom("node_fab")
                .select("hash")
                .whereRef("node_fab.hash", "=", "node_run.fab_hash"),
            ).as("has_bundle"),
        ])
        .where("run_id", "=", toSqlInteger(runId))
        .executeTakeFirst();
      return row && { run: fromBinary(RunSchema, row.run), hasBundle: Boolean(row.has_bundle) };
    },

    async add({ run, fab, context }) {
      const runId = toSqlInteger(run.runId);
      await database.transaction(async (tx) => {
        await tx.query
          .insertInto("node_run")
          .values({
            run_id: runId,
            run: toBinary(RunSchema, run),
            fab_hash: run.fabHash,
            context: toBinary(ContextSchema, context),
          })
          .onConflict((conflict) => conflict.column("run_id").doNothing())
          .execute();
        await tx.query
          .insertInto("node_run_use")
          .values({ run_id: runId, fab_hash: run.fabHash, used_at: 0n, ask_at: 0n })
          .onConflict((conflict) => conflict.column("run_id").doNothing())
          .execute();
        await noteUse(tx, run.runId, now());
        await storeBundle(tx, fab);
      });
    },

    addBundle: (fab) => database.transaction((tx) => storeBundle(tx, fab)),

    async nextToAsk() {
      const row = await database.query
        .selectFrom("node_run_use")
        .select("run_id")
        .where("ask_at", "<=", BigInt(Math.trunc(now())))
        .where(hasNoWork)
        .orderBy("ask_at")
        .limit(1)
        .executeTakeFirst();
      return row && fromSqlInteger(row.run_id);
    },

    async keep(runId) {
      const askedAt = BigInt(Math.trunc(now()));
      await database.query
        .updateTable("node_run_use")
        .set({
          ask_at: sql<bigint>`${askedAt} + min(max(${askedAt} - used_at, ${firstPauseMs}), ${longestPauseMs})`,
        })
        .where("run_id", "=", toSqlInteger(runId))
        .execute();
    },

    async forget(runId) {
      const id = toSqlInteger(runId);
      return database.transaction(async (tx) => {
        await lifetime.sweep(tx);
        const forgotten = await tx.query
          .deleteFrom("node_run_use")
          .where("run_id", "=", id)
          .where(hasNoWork)
          .returning("fab_hash")
          .executeTakeFirst();
        if (forgotten === undefined) {
          return false;
        }
        await authority.revoke(runId, tx);
        for (const table of ["node_claim", "node_awaited", "node_message", "node_run"] as const) {
          await tx.query.deleteFrom(table).where("run_id", "=", id).execute();
        }
        await nodeObjects.releaseAll(tx, runId);
        await tx.query
          .deleteFrom("node_fab")
          .where("hash", "=", forgotten.fab_hash)
          .where(({ exists, not, selectFrom }) =>
            not(
              exists(
                selectFrom("node_run_use")
                  .select("node_run_use.run_id")
                  .whereRef("node_run_use.fab_hash", "=", "node_fab.hash"),
              ),
            ),
          )
          .execute();
        return true;
      });
    },
  };
}

/** Notes that a run has work, or has had it until this instant. Unknown runs are left alone. */
export async function noteUse(tx: NodeTransaction, runId: bigint, nowMs: number): Promise<void> {
  const usedAt = BigInt(Math.trunc(nowMs));
  await tx.query
    .updateTable("node_run_use")
    .set({ used_at: usedAt, ask_at: usedAt + BigInt(firstPauseMs) })
    .where("run_id", "=", toSqlInteger(runId))
    .execute();
}

function hasNoWork({
  exists,
  not,
  selectFrom,
}: ExpressionBuilder<NodeTables, "node_run_use">): Expression<SqlBool> {
  return not(
    exists(
      selectFrom("node_message")
        .select("seq")
        .whereRef("node_message.run_id", "=", "node_run_use.run_id")
        .where("phase", "!=", "forwarded"),
    ),
  );
}

/** Drops a bundle unless a run of it has work. */
async function dropBundle(tx: NodeTransaction, hash: string): Promise<boolean> {
  const dropped = await tx.query
    .deleteFrom("node_fab")
    .where("hash", "=", hash)
    .where(({ exists, not, selectFrom }) =>
      not(
        exists(
          selectFrom("node_run_use")
            .innerJoin("node_message", "node_message.run_id", "node_run_use.run_id")
            .select("seq")
            .where("node_run_use.fab_hash", "=", hash)
            .where("phase", "!=", "forwarded"),
        ),
      ),
    )
    .returning("hash")
    .executeTakeFirst();
  return dropped !== undefined;
}
