import type { Message, ObjectTree } from "../../../gen/flwr/proto/message_pb.ts";
import { type SqlUint64, toSqlInteger } from "../../authority/sql-integer.ts";
import { ttlToleranceSeconds } from "../objects/message.ts";
import { assertWithin, callLimits } from "./call-limits.ts";
import type { StateCore, StateTransaction } from "./core.ts";
import { forgetInstructions, forgetReplies } from "./forget-messages.ts";
import { anotherSender } from "./honest-replies.ts";
import { assertRunning, holdRunning } from "./liveness.ts";
import { isLost } from "./lost-objects.ts";
import { type CheckedMessage, checkReply } from "./message-rules.ts";
import { type ObjectGraph, readTrees } from "./object-graph.ts";
import { announceObjects } from "./object-trees.ts";
import { isAvailable } from "./objects.ts";
import { answersTo } from "./reply-answers.ts";
import { encodeMessage, expiryOf, type StoredMessage } from "./stored-message.ts";
import { transact } from "./transact.ts";

/** What became of a pushed reply. */
export interface PushedReply {
  /** Id of the reply; undefined if it was refused. */
  readonly messageId: string | undefined;
  /** Ids of the objects whose bytes are wanted, each once. */
  readonly objectsToPush: string[];
}

/** The answers to instructions. */
export interface Replies {
  /**
   * Stores a node's reply and announces its objects. Refused is a reply to an
   * instruction that is unknown, has expired, was another node's or has got
   * another reply already, and one that outlives its instruction by more than
   * 0.1 s. Storing a reply again changes nothing.
   *
   * @param runtimeSeconds How long the ClientApp took; added to the run's total.
   * @throws ConnectError InvalidArgument if the reply breaks a rule, and as for
   * any run that is not running.
   */
  push(
    message: Message,
    tree: ObjectTree | undefined,
    runtimeSeconds: number,
  ): Promise<PushedReply>;
  /**
   * Returns the answers that there are to some instructions of a running run.
   * Reading takes nothing away: an answer stays until it is confirmed, the run
   * ends, or a day has passed since its ttl. Where no node's reply will come
   * the answer is an error reply: code 3 when the instruction is unknown,
   * confirmed or has expired, 4 when the reply has, 5 when the node is not
   * available. There is one answer to an instruction, whichever comes first.
   *
   * @throws ConnectError as for any run that is not running.
   */
  find(runId: bigint, instructionIds: readonly string[]): Promise<StoredMessage[]>;
  /**
   * Forgets a reply that the ServerApp has received, its instruction and the
   * objects of both. Any other object of the run is released; unknown ids
   * change nothing.
   *
   * @throws ConnectError as for any run that is not running.
   */
  confirm(runId: bigint, messageId: string): Promise<void>;
  /**
   * Tells whether an object that is announced and not there will never come: it
   * is part of replies, and their nodes are not available any more.
   */
  isLost(runId: bigint, objectId: string): Promise<boolean>;
}

/** Creates the part of the state that keeps replies. */
export function createReplyState(core: StateCore): Replies {
  return {
    async push(message, tree, runtimeSeconds) {
      const runId = message.metadata?.runId ?? 0n;
      const prepared = await prepare(core, message, tree).catch(async (reason) => {
        // What is true of the run itself is told first.
        await assertRunning(core, runId);
        throw reason;
      });
      return transact(core, async (tx) => {
        await holdRunning(tx, runId, "update");
        return pushReply(core, tx, toSqlInteger(runId), prepared, runtimeSeconds);
      });
    },
    find: (runId, instructionIds) =>
      transact(core, async (tx) => {
        await holdRunning(tx, runId);
        assertWithin("message_ids", instructionIds.length, callLimits.messageIds);
        return answersTo(core, tx, toSqlInteger(runId), [...new Set(instructionIds)]);
      }),
    confirm: (runId, messageId) =>
      transact(core, async (tx) => {
        await holdRunning(tx, runId);
        await confirmReply(tx, toSqlInteger(runId), messageId);
      }),
    isLost: (runId, objectId) => isLost(core, runId, objectId),
  };
}

/** A reply that has passed the rules, and its objects. */
interface PreparedReply {
  readonly reply: CheckedMessage;
  readonly graph: ObjectGraph;
}

/** What takes time and needs no transaction. */
async function prepare(
  core: StateCore,
  message: Message,
  tree: ObjectTree | undefined,
): Promise<PreparedReply> {
  const reply = checkReply(message, tree, core.now());
  return { reply, graph: await readTrees([reply.tree], "message_object_trees") };
}

async function pushReply(
  core: StateCore,
  tx: StateTransaction,
  runId: SqlUint64,
  { reply, graph }: PreparedReply,
  runtimeSeconds: number,
): Promise<PushedReply> {
  if (await storeReply(core, tx, runId, reply)) {
    // The bytes of a new reply are new, and `assertHonest` sees them. What is
    // there was said by another message: an instruction, or somebody's reply.
    if (await isAvailable(tx, runId, reply.metadata.messageId)) {
      throw anotherSender();
    }
    await addRuntime(tx, runId, runtimeSeconds);
  } else if (!(await isStored(tx, runId, reply))) {
    return { messageId: undefined, objectsToPush: [] };
  }
  const objectsToPush = await announceObjects(tx, runId, graph);
  return { messageId: reply.metadata.messageId, objectsToPush };
}

async function storeReply(
  core: StateCore,
  tx: StateTransaction,
  runId: SqlUint64,
  reply: CheckedMessage,
): Promise<boolean> {
  const { messageId, replyToMessageId, srcNodeId } = reply.metadata;
  const expiresAt = expiryOf(reply);
  const columns = encodeMessage(reply);
  const { numInsertedOrUpdatedRows } = await tx.query
    .insertInto("reply")
    .columns([
      "run_id",
      "instruction_id",
      "message_id",
      "expires_at",
      "is_error",
      "message",
      "tree",
    ])
    .expression(({ selectFrom, val }) =>
      selectFrom("instruction")
        .select([
          "instruction.run_id",
          "instruction.message_id",
          val(messageId).as("reply_id"),
          val(expiresAt).as("expires_at"),
          val(0n).as("is_error"),
          val(columns.message).as("message"),
          val(columns.tree).as("tree"),
        ])
        .where("instruction.run_id", "=", runId)
        .where("instruction.message_id", "=", replyToMessageId)
        .where("instruction.dst_node_id", "=", toSqlInteger(srcNodeId))
        .where("instruction.expires_at", ">", core.now() / 1000)
        .where("instruction.expires_at", ">=", expiresAt - ttlToleranceSeconds),
    )
    // One reply to an instruction, and one under an id.
    .onConflict((conflict) => conflict.doNothing())
    .executeTakeFirstOrThrow();
  return numInsertedOrUpdatedRows === 1n;
}

async function isStored(
  tx: StateTransaction,
  runId: SqlUint64,
  { metadata }: CheckedMessage,
): Promise<boolean> {
  const row = await tx.query
    .selectFrom("reply")
    .select("message_id")
    .where("run_id", "=", runId)
    .where("instruction_id", "=", metadata.replyToMessageId)
    .where("message_id", "=", metadata.messageId)
    .executeTakeFirst();
  return row !== undefined;
}

async function addRuntime(tx: StateTransaction, runId: SqlUint64, seconds: number): Promise<void> {
  if (Number.isFinite(seconds) && seconds > 0) {
    await tx.query
      .updateTable("run")
      .set(({ eb }) => ({ clientapp_runtime: eb("clientapp_runtime", "+", seconds) }))
      .where("run_id", "=", runId)
      .execute();
  }
}

async function confirmReply(
  tx: StateTransaction,
  runId: SqlUint64,
  messageId: string,
): Promise<void> {
  await forgetInstructions(tx, runId, await forgetReplies(tx, runId, [messageId]));
}
