import { fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  type Message,
  MessageSchema,
  type ObjectTree,
  ObjectTreeSchema,
} from "../../../gen/flwr/proto/message_pb.ts";
import { fromSqlInteger, type SqlDatabase, toSqlInteger } from "../../authority/index.ts";
import type { FoundObject } from "../state/objects.ts";
import type { NodeErrorCode } from "./error-reply.ts";
import type { MessageRow, NodeLifetime } from "./node-lifetime.ts";
import { isContentOf, nodeObjects } from "./node-objects.ts";
import { noteUse } from "./node-runs.ts";
import type { NodeTables, NodeTransaction } from "./node-tables.ts";

/** A message with the tree of its objects. */
export interface TreedMessage {
  readonly message: Message;
  readonly tree: ObjectTree;
}

/** A reply with all of its objects, on its way to the SuperLink. */
export interface ReadyReply extends TreedMessage {
  readonly runId: bigint;
  /** Id of the instruction that it answers. */
  readonly instructionId: string;
  /** Seconds from the moment a ClientApp took the instruction to its answer; 0 when none took it. */
  readonly processingSeconds: number;
}

/** A node's state as its loop towards the SuperLink uses it. */
export interface NodeInbox {
  /**
   * Stores an instruction that no ClientApp sees yet.
   *
   * @returns ids of the objects to pull, children first; undefined when the message has no id, names no run, or is known
   */
  receive(received: TreedMessage): Promise<string[] | undefined>;
  /** Stores an object of a received instruction; false when the content is not the object's or not announced. */
  storeObject(runId: bigint, objectId: string, content: Uint8Array): Promise<boolean>;
  /** Opens an instruction, whose objects are all here, to the run's ClientApps. */
  arrived(messageId: string): Promise<void>;
  /** Answers an instruction that cannot be handed to a ClientApp. */
  fail(messageId: string, code: NodeErrorCode, reason: string): Promise<void>;
  /** Forgets an instruction, its reply and the objects of both. */
  drop(messageId: string): Promise<void>;
  /** The replies to forward, in the order of their instructions. Ends what belongs to expired tokens first. */
  readyReplies(): Promise<ReadyReply[]>;
  /** An object of a reply to forward. */
  replyObject(runId: bigint, objectId: string): Promise<FoundObject | undefined>;
  /** Notes that the SuperLink has the reply to an instruction. */
  forwarded(messageId: string): Promise<void>;
}

/** What {@link createNodeInbox} works on. */
export interface NodeInboxOptions {
  readonly database: SqlDatabase<NodeTables>;
  readonly lifetime: NodeLifetime;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

/** Creates the part of a node's state that faces the SuperLink. */
export function createNodeInbox(options: NodeInboxOptions): NodeInbox {
  const { database, lifetime, now } = options;

  async function withMessage(
    messageId: string,
    work: (tx: NodeTransaction, row: MessageRow) => Promise<void>,
  ): Promise<void> {
    await database.transaction(async (tx) => {
      const row = await tx.query
        .selectFrom("node_message")
        .selectAll()
        .where("message_id", "=", messageId)
        .executeTakeFirst();
      if (row !== undefined) {
        await noteUse(tx, fromSqlInteger(row.run_id), now());
        await work(tx, row);
      }
    });
  }

  return {
    async receive({ message, tree }) {
      const { messageId = "", runId = 0n } = message.metadata ?? {};
      // Run 0 is what an unset id looks like: no token can be issued for it.
      if (messageId === "" || runId === 0n) {
        return undefined;
      }
      return database.transaction(async (tx) => {
        const stored = await tx.query
          .insertInto("node_message")
          .values({
            message_id: messageId,
            run_id: toSqlInteger(runId),
            phase: "arriving",
            launches: 0n,
            message: toBinary(MessageSchema, message),
            tree: toBinary(ObjectTreeSchema, tree),
          })
          .onConflict((conflict) => conflict.column("message_id").doNothing())
          .returning("seq")
          .executeTakeFirst();
        if (stored === undefined) {
          return undefined;
        }
        await noteUse(tx, runId, now());
        return nodeObjects.announce(tx, runId, tree);
      });
    },

    storeObject: async (runId, objectId, content) =>
      isContentOf(objectId, content) &&
      database.transaction((tx) => nodeObjects.put(tx, runId, objectId, content)),

    async arrived(messageId) {
      await database.query
        .updateTable("node_message")
        .set({ phase: "waiting" })
        .where("message_id", "=", messageId)
        .where("phase", "=", "arriving")
        .execute();
    },

    fail: (messageId, code, reason) =>
      withMessage(messageId, (tx, row) => lifetime.answerWithError(tx, row, code, reason)),

    drop: (messageId) => withMessage(messageId, (tx, row) => lifetime.remove(tx, row)),

    async readyReplies() {
      return database.transaction(async (tx) => {
        await lifetime.sweep(tx);
        const rows = await tx.query
          .selectFrom("node_message")
          .selectAll()
          .where("phase", "=", "answered")
          .where(({ not, exists, selectFrom }) =>
            not(
              exists(
                selectFrom("node_awaited")
                  .select("node_awaited.seq")
                  .whereRef("node_awaited.seq", "=", "node_message.seq"),
              ),
            ),
          )
          .orderBy("seq")
          .execute();
        return rows.flatMap(readyReply);
      });
    },

    replyObject: (runId, objectId) =>
      database.transaction((tx) => nodeObjects.find(tx, runId, objectId)),

    forwarded: (messageId) =>
      withMessage(messageId, async (tx, row) => {
        const holder = await tx.query
          .selectFrom("node_claim")
          .select("run_id")
          .where("run_id", "=", row.run_id)
          .where("token_digest", "=", row.token_digest ?? "")
          .executeTakeFirst();
        if (holder === undefined) {
          return lifetime.remove(tx, row);
        }
        await tx.query
          .updateTable("node_message")
          .set({ phase: "forwarded" })
          .where("seq", "=", row.seq)
          .where("phase", "=", "answered")
          .execute();
      }),
  };
}

function readyReply(row: MessageRow): ReadyReply[] {
  if (row.reply === null || row.reply_tree === null) {
    return [];
  }
  const { started_at: startedAt, ended_at: endedAt } = row;
  return [
    {
      runId: fromSqlInteger(row.run_id),
      instructionId: row.message_id,
      message: fromBinary(MessageSchema, row.reply),
      tree: fromBinary(ObjectTreeSchema, row.reply_tree),
      processingSeconds:
        startedAt === null || endedAt === null ? 0 : Number(endedAt - startedAt) / 1000,
    },
  ];
}
