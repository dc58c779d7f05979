import { Code, ConnectError } from "@connectrpc/connect";
import { sql } from "kysely";
import type { Message, ObjectTree } from "../../../gen/flwr/proto/message_pb.ts";
import { type SqlUint64, toSqlInteger } from "../../authority/sql-integer.ts";
import type { StateCore, StateTransaction } from "./core.ts";
import { forgetInstruction } from "./forget-messages.ts";
import { holdRunning, runningRun } from "./liveness.ts";
import { type CheckedMessage, checkInstructions } from "./message-rules.ts";
import { announceTrees } from "./object-trees.ts";
import { hasObject } from "./objects.ts";
import { decodeMessage, encodeMessage, expiryOf, type StoredMessage } from "./stored-message.ts";
import { transact } from "./transact.ts";

/** What became of pushed messages. */
export interface PushedMessages {
  /** Ids of the messages, in the order of the request; empty where the destination is not available. */
  readonly messageIds: string[];
  /** Ids of the objects whose bytes are wanted, each once. */
  readonly objectsToPush: string[];
}

/** The messages from ServerApps to nodes. */
export interface Instructions {
  /**
   * Stores the messages of a running run and announces their objects; a message
   * to a node that never was online, or has unregistered, is left out. Storing a
   * message again changes nothing, so that a call can be repeated.
   *
   * @throws ConnectError InvalidArgument if any message breaks a rule, and as
   * for any run that is not running; nothing is stored then.
   */
  push(
    runId: bigint,
    messages: readonly Message[],
    trees: readonly ObjectTree[],
  ): Promise<PushedMessages>;
  /**
   * Takes the oldest message for a node. No message is taken twice, except by
   * the same node when its first answer was lost: if it has neither confirmed
   * the message nor replied after 10 s. A node knows what it has by the
   * message's id.
   */
  take(nodeId: bigint): Promise<StoredMessage | undefined>;
  /** Tells whether a node has taken a message of a run that is not done with: its leave to reach the run. */
  holds(nodeId: bigint, runId: bigint): Promise<boolean>;
}

/** Creates the part of the state that keeps instructions. */
export function createInstructionState(core: StateCore): Instructions {
  return {
    async push(runId, messages, trees) {
      return transact(core, async (tx) => {
        await holdRunning(core, tx, runId);
        const checked = checkInstructions(runId, messages, trees, core.now());
        return pushAll(tx, toSqlInteger(runId), checked);
      });
    },
    take: (nodeId) => transact(core, (tx) => takeOldest(core, tx, nodeId)),
    async holds(nodeId, runId) {
      const held = await core.database.query
        .selectFrom("instruction")
        .select("message_id")
        .where("run_id", "=", toSqlInteger(runId))
        .where("dst_node_id", "=", toSqlInteger(nodeId))
        .where("delivered_at", "is not", null)
        .limit(1)
        .executeTakeFirst();
      return held !== undefined;
    },
  };
}

async function pushAll(
  tx: StateTransaction,
  runId: SqlUint64,
  messages: readonly CheckedMessage[],
): Promise<PushedMessages> {
  const stored: CheckedMessage[] = [];
  const messageIds: string[] = [];
  for (const message of messages) {
    const accepted = await pushOne(tx, runId, message);
    messageIds.push(accepted ? message.metadata.messageId : "");
    if (accepted) {
      stored.push(message);
    }
  }
  const trees = stored.map(({ tree }) => tree);
  return { messageIds, objectsToPush: await announceTrees(tx, runId, trees) };
}

async function pushOne(
  tx: StateTransaction,
  runId: SqlUint64,
  message: CheckedMessage,
): Promise<boolean> {
  const { messageId, dstNodeId } = message.metadata;
  const columns = encodeMessage(message);
  const { numInsertedOrUpdatedRows } = await tx.query
    .insertInto("instruction")
    .columns(["run_id", "message_id", "dst_node_id", "expires_at", "message", "tree"])
    .expression(({ val }) =>
      runningRun(tx, runId)
        .innerJoin("node", (join) => join.on("node.node_id", "=", toSqlInteger(dstNodeId)))
        .where("node.online_until", "is not", null)
        .where("node.unregistered_at", "is", null)
        .select([
          "run.run_id",
          val(messageId).as("message_id"),
          "node.node_id",
          val(expiryOf(message)).as("expires_at"),
          val(columns.message).as("message"),
          val(columns.tree).as("tree"),
        ]),
    )
    .onConflict((conflict) => conflict.columns(["run_id", "message_id"]).doNothing())
    .executeTakeFirstOrThrow();
  return numInsertedOrUpdatedRows === 1n || isRepeated(tx, runId, messageId, columns.message);
}

async function isRepeated(
  tx: StateTransaction,
  runId: SqlUint64,
  messageId: string,
  message: Uint8Array,
): Promise<boolean> {
  const known = await tx.query
    .selectFrom("instruction")
    .select("message")
    .where("run_id", "=", runId)
    .where("message_id", "=", messageId)
    .executeTakeFirst();
  if (known !== undefined && Buffer.compare(known.message, message) !== 0) {
    throw new ConnectError(
      `Malformed PushMessages: another message has the id ${messageId}`,
      Code.InvalidArgument,
    );
  }
  return known !== undefined;
}

/** After how long a message that its node neither confirmed nor answered was lost, in milliseconds. */
const redeliveryMs = 10_000;

/**
 * Whether a message was handed out before an instant and never arrived: a node
 * that has it confirms it, which releases its objects, or answers with an error.
 */
function wasLost(lostBefore: number) {
  return sql<boolean>`(
    waiting.delivered_at <= ${lostBefore}
    and exists (
      select 1 from run_object
      where run_object.run_id = waiting.run_id and run_object.object_id = waiting.message_id
    )
    and not exists (
      select 1 from reply
      where reply.run_id = waiting.run_id and reply.instruction_id = waiting.message_id
    )
  )`;
}

async function takeOldest(
  core: StateCore,
  tx: StateTransaction,
  nodeId: bigint,
): Promise<StoredMessage | undefined> {
  const now = core.now();
  const lostBefore = now - redeliveryMs;
  const taken = await tx.query
    .updateTable("instruction")
    .set({ delivered_at: now })
    .where(({ eb, or }) =>
      or([eb("delivered_at", "is", null), eb("delivered_at", "<=", lostBefore)]),
    )
    .where("sequence", "=", ({ selectFrom }) => {
      const oldest = selectFrom("instruction as waiting")
        .innerJoin("run", "run.run_id", "waiting.run_id")
        .select("waiting.sequence")
        .where("waiting.dst_node_id", "=", toSqlInteger(nodeId))
        .where(({ eb, or }) => or([eb("waiting.delivered_at", "is", null), wasLost(lostBefore)]))
        .where("waiting.expires_at", ">", now / 1000)
        .where("run.running_at", "is not", null)
        .where("run.finished_at", "is", null)
        .orderBy("waiting.sequence")
        .limit(1);
      // What another transaction is just taking is not waited for: the next one is as good.
      return tx.database.engine === "postgres" ? oldest.forUpdate("waiting").skipLocked() : oldest;
    })
    .returning(["run_id", "message_id", "message", "tree"])
    .executeTakeFirst();
  if (taken === undefined) {
    return undefined;
  }
  if (!(await hasObject(tx, taken.run_id, taken.message_id))) {
    // The app has confirmed its own message: there is nothing left to pull.
    await forgetInstruction(tx, taken.run_id, taken.message_id);
    return undefined;
  }
  return decodeMessage(taken);
}
