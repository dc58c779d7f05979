import { fromBinary, toBinary } from "@bufbuild/protobuf";
import type { Kysely } from "kysely";
import { type Fab, FabSchema } from "../../../gen/flwr/proto/fab_pb.ts";
import {
  type Context,
  ContextSchema,
  type Message,
  MessageSchema,
  ObjectTreeSchema,
} from "../../../gen/flwr/proto/message_pb.ts";
import { type Run, RunSchema } from "../../../gen/flwr/proto/run_pb.ts";
import { type Authority, type SqlDatabase, toSqlInteger } from "../../authority/index.ts";
import { batches } from "../state/batches.ts";
import type { FoundObject } from "../state/objects.ts";
import { type NodeCaller, NodeRefusal } from "./node-caller.ts";
import { createNodeClaims, type NodeClaims } from "./node-claims.ts";
import type { TreedMessage } from "./node-inbox.ts";
import type { MessageRow, NodeLifetime } from "./node-lifetime.ts";
import { isContentOf, nodeObjects } from "./node-objects.ts";
import { noteUse } from "./node-runs.ts";
import type { NodeTables, NodeTransaction } from "./node-tables.ts";

/** A run as a ClientApp is given it. */
export interface NodeRun {
  readonly run: Run;
  readonly context: Context;
  /** Undefined when the run's bundle is not on this node. */
  readonly fab: Fab | undefined;
}

/**
 * A node's state as its ClientApps use it. Whatever a caller reads or changes holds its live token in the same
 * transaction: what the guard saw on the headers may have ended since.
 */
export interface NodeApps extends Pick<NodeClaims, "pendingRuns" | "claim"> {
  /** Finds a run for whoever launches its apps. */
  findRun(runId: bigint): Promise<NodeRun | undefined>;
  /** Finds the caller's run, for the ClientApp itself. @throws NodeRefusal "token ended" */
  inputsOf(caller: NodeCaller): Promise<NodeRun | undefined>;
  /**
   * Takes the run's oldest waiting message, only this one; asked again before it is answered, returns the same one.
   *
   * @returns undefined when no message waits
   * @throws NodeRefusal "token ended"
   */
  takeMessage(caller: NodeCaller): Promise<TreedMessage | undefined>;
  /**
   * Stores the reply to a message that the caller took. Stored again under the same id, it changes nothing.
   *
   * @returns ids of the objects to push, children first
   * @throws NodeRefusal of any kind
   */
  storeReply(caller: NodeCaller, reply: TreedMessage): Promise<string[]>;
  /** Stores an object that was announced with a reply. @throws NodeRefusal "token ended" */
  putObject(caller: NodeCaller, objectId: string, content: Uint8Array): Promise<boolean>;
  /** Finds an object of the caller's run. @throws NodeRefusal "token ended" */
  getObject(caller: NodeCaller, objectId: string): Promise<FoundObject | undefined>;
  /** Frees the objects of a message that the caller took; any other id changes nothing. @throws NodeRefusal "token ended" */
  confirmMessage(caller: NodeCaller, messageId: string): Promise<void>;
  /** Keeps the context for the run's next message and ends the token, in one step. @throws NodeRefusal "token ended" */
  finish(caller: NodeCaller, context: Context): Promise<void>;
}

/** What {@link createNodeApps} works on. */
export interface NodeAppsOptions {
  readonly database: SqlDatabase<NodeTables>;
  readonly authority: Authority;
  readonly lifetime: NodeLifetime;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Told after the commit that some reply can be forwarded. */
  readonly onReply: () => void;
}

/** Creates the part of a node's state that faces its ClientApps. */
export function createNodeApps(options: NodeAppsOptions): NodeApps {
  const { database, authority, lifetime, now, onReply } = options;
  const { pendingRuns, claim, whileLive } = createNodeClaims({ database, authority, lifetime });

  function takenBy(tx: NodeTransaction, caller: NodeCaller) {
    return tx.query
      .selectFrom("node_message")
      .selectAll()
      .where("run_id", "=", toSqlInteger(caller.runId))
      .where("token_digest", "=", caller.tokenDigest);
  }

  async function takeOldest(
    tx: NodeTransaction,
    caller: NodeCaller,
  ): Promise<MessageRow | undefined> {
    return tx.query
      .updateTable("node_message")
      .set({
        phase: "taken",
        token_digest: caller.tokenDigest,
        started_at: BigInt(Math.trunc(now())),
      })
      .where("phase", "=", "waiting")
      .where("seq", "=", ({ selectFrom, fn }) =>
        selectFrom("node_message")
          .select(fn.min("seq").as("seq"))
          .where("run_id", "=", toSqlInteger(caller.runId))
          .where("phase", "=", "waiting"),
      )
      .returningAll()
      .executeTakeFirst();
  }

  async function missingObjects(tx: NodeTransaction, row: MessageRow): Promise<string[]> {
    const awaited = await tx.query
      .selectFrom("node_awaited")
      .select("object_id")
      .where("seq", "=", row.seq)
      .orderBy("position")
      .execute();
    return awaited.map(({ object_id }) => object_id);
  }

  return {
    pendingRuns,
    claim,

    findRun: (runId) => runOf(database.query, runId),

    inputsOf: (caller) => whileLive(caller, ({ query }) => runOf(query, caller.runId)),

    takeMessage: (caller) =>
      whileLive(caller, async (tx) => {
        const again = await takenBy(tx, caller).where("phase", "=", "taken").executeTakeFirst();
        const row = again ?? (await takeOldest(tx, caller));
        return (
          row && {
            message: fromBinary(MessageSchema, row.message),
            tree: fromBinary(ObjectTreeSchema, row.tree),
          }
        );
      }),

    storeReply: (caller, { message, tree }) =>
      whileLive(caller, async (tx) => {
        const { messageId = "", replyToMessageId = "" } = message.metadata ?? {};
        const row = await takenBy(tx, caller)
          .where("message_id", "=", replyToMessageId)
          .executeTakeFirst();
        if (row === undefined) {
          throw new NodeRefusal("not taken", "The reply names no message that this app has taken.");
        }
        if (!isAddressed(message, fromBinary(MessageSchema, row.message))) {
          // The SuperLink would refuse it, and the app would never hear of that.
          throw new NodeRefusal("misaddressed", "The reply must go from this node to the sender.");
        }
        if (row.phase !== "taken") {
          if (row.reply_id !== messageId) {
            throw new NodeRefusal("already answered", "The message has another reply already.");
          }
          return missingObjects(tx, row);
        }
        const missing = await nodeObjects.announce(tx, caller.runId, tree);
        await tx.query
          .updateTable("node_message")
          .set({
            phase: "answered",
            ended_at: BigInt(Math.trunc(now())),
            reply_id: messageId,
            reply: toBinary(MessageSchema, message),
            reply_tree: toBinary(ObjectTreeSchema, tree),
          })
          .where("seq", "=", row.seq)
          .execute();
        const awaited = missing.map((objectId, position) => ({
          seq: row.seq,
          run_id: row.run_id,
          object_id: objectId,
          position: BigInt(position),
        }));
        for (const batch of batches(awaited)) {
          await tx.query.insertInto("node_awaited").values(batch).execute();
        }
        if (missing.length === 0) {
          tx.afterCommit(onReply);
        }
        return missing;
      }),

    putObject: async (caller, objectId, content) =>
      isContentOf(objectId, content) &&
      whileLive(caller, async (tx) => {
        const isStored = await nodeObjects.put(tx, caller.runId, objectId, content);
        if (isStored) {
          await tx.query
            .deleteFrom("node_awaited")
            .where("run_id", "=", toSqlInteger(caller.runId))
            .where("object_id", "=", objectId)
            .execute();
          const awaited = await tx.query
            .selectFrom("node_awaited")
            .select("seq")
            .where("run_id", "=", toSqlInteger(caller.runId))
            .limit(1)
            .executeTakeFirst();
          if (awaited === undefined) {
            tx.afterCommit(onReply);
          }
        }
        return isStored;
      }),

    getObject: (caller, objectId) =>
      whileLive(caller, (tx) => nodeObjects.find(tx, caller.runId, objectId)),

    confirmMessage: (caller, messageId) =>
      whileLive(caller, async (tx) => {
        const row = await takenBy(tx, caller)
          .where("message_id", "=", messageId)
          .executeTakeFirst();
        if (row !== undefined) {
          await nodeObjects.release(tx, caller.runId, messageId);
        }
      }),

    finish: (caller, context) =>
      whileLive(caller, async (tx) => {
        await tx.query
          .updateTable("node_run")
          .set({ context: toBinary(ContextSchema, context) })
          .where("run_id", "=", toSqlInteger(caller.runId))
          .execute();
        await noteUse(tx, caller.runId, now());
        await authority.revoke(caller.runId, tx);
        await lifetime.endToken(tx, caller.runId);
      }),
  };
}

async function runOf(query: Kysely<NodeTables>, runId: bigint): Promise<NodeRun | undefined> {
  const row = await query
    .selectFrom("node_run")
    .leftJoin("node_fab", "node_fab.hash", "node_run.fab_hash")
    .select(["node_run.run", "node_run.context", "node_fab.fab"])
    .where("node_run.run_id", "=", toSqlInteger(runId))
    .executeTakeFirst();
  return (
    row && {
      run: fromBinary(RunSchema, row.run),
      context: fromBinary(ContextSchema, row.context),
      fab: row.fab === null ? undefined : fromBinary(FabSchema, row.fab),
    }
  );
}

function isAddressed({ metadata: reply }: Message, { metadata: asked }: Message): boolean {
  return reply?.srcNodeId === asked?.dstNodeId && reply?.dstNodeId === asked?.srcNodeId;
}
