import { type ExpressionBuilder, type Kysely, type Nullable, sql } from "kysely";
import type { Message, ObjectTree } from "../../../gen/flwr/proto/message_pb.ts";
import { fromSqlInteger, type SqlUint64, toSqlInteger } from "../../authority/sql-integer.ts";
import { batches } from "./batches.ts";
import type { StateCore, StateTransaction } from "./core.ts";
import { forgetInstructions } from "./forget-messages.ts";
import { assertRunning, holdRunning } from "./liveness.ts";
import { type CheckedMessage, checkInstructions, malformed } from "./message-rules.ts";
import { nextTurn } from "./next-turn.ts";
import { type ObjectGraph, readTrees } from "./object-graph.ts";
import { releaseObjects } from "./object-release.ts";
import { announceObjects } from "./object-trees.ts";
import { hasObject } from "./objects.ts";
import { retentionSeconds } from "./reply-answers.ts";
import {
  decodeMessage,
  encodeMessage,
  expiryOf,
  type MessageColumns,
  type StoredMessage,
} from "./stored-message.ts";
import type { StateTables } from "./tables.ts";
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
   * @throws ConnectError InvalidArgument if any message breaks a rule or there
   * are too many (see `callLimits`), and as for any run that is not running;
   * nothing is stored then.
   */
  push(
    runId: bigint,
    messages: readonly Message[],
    trees: readonly ObjectTree[],
  ): Promise<PushedMessages>;
  /**
   * Takes the oldest message for a node that has no answer yet. No message is taken twice, except by
   * the same node when its first answer was lost: if it has neither confirmed
   * the message nor replied after 10 s. A node knows what it has by the
   * message's id.
   */
  take(nodeId: bigint): Promise<StoredMessage | undefined>;
  /**
   * Releases the objects of a message that a node has taken and pulled. Any
   * other id changes nothing: the run's other messages and the replies are for
   * those who get them to confirm.
   *
   * @throws ConnectError as for any run that is not running.
   */
  confirm(nodeId: bigint, runId: bigint, messageId: string): Promise<void>;
  /**
   * Tells whether a node has taken a message of a run that has not expired, and
   * in whose reply's place there is no error: its leave to read what belongs to
   * the run. What a node still pulls when its message expires comes too late in
   * any case, as the reply would be refused.
   */
  holds(nodeId: bigint, runId: bigint): Promise<boolean>;
  /**
   * Tells whether a node may push objects of a run: while it holds a message of
   * it, and after that for as long as a reply of its own can be read, whose
   * objects may take longer than its instruction lives.
   */
  mayPush(nodeId: bigint, runId: bigint): Promise<boolean>;
}

/** Creates the part of the state that keeps instructions. */
export function createInstructionState(core: StateCore): Instructions {
  return {
    async push(runId, messages, trees) {
      const prepared = await prepare(core, runId, messages, trees).catch(async (reason) => {
        // What is true of the run itself is told first.
        await assertRunning(core, runId);
        throw reason;
      });
      return transact(core, async (tx) => {
        await holdRunning(tx, runId);
        return pushAll(tx, toSqlInteger(runId), prepared);
      });
    },
    take: (nodeId) => transact(core, (tx) => takeOldest(core, tx, nodeId)),
    confirm: (nodeId, runId, messageId) =>
      transact(core, async (tx) => {
        await holdRunning(tx, runId);
        const taken = await takenBy(tx.query, nodeId, runId)
          .where("instruction.message_id", "=", messageId)
          .executeTakeFirst();
        if (taken !== undefined) {
          await releaseObjects(tx, toSqlInteger(runId), [messageId]);
        }
      }),
    async holds(nodeId, runId) {
      const held = await takenBy(core.database.query, nodeId, runId)
        .where((taken) => isHeld(taken, core.now()))
        .limit(1)
        .executeTakeFirst();
      return held !== undefined;
    },
    async mayPush(nodeId, runId) {
      const now = core.now();
      const open = await takenBy(core.database.query, nodeId, runId)
        .where((taken) => taken.or([isHeld(taken, now), hasReadableReply(taken, now)]))
        .limit(1)
        .executeTakeFirst();
      return open !== undefined;
    },
  };
}

/** Messages that have passed the rules, ready to be stored. */
interface PreparedMessages {
  readonly messages: readonly (CheckedMessage & { readonly columns: MessageColumns })[];
  readonly graph: ObjectGraph;
}

/** After how many messages others get their turn while messages are made ready. */
const messagesPerTurn = 10;

/** What takes time and needs no transaction. */
async function prepare(
  core: StateCore,
  runId: bigint,
  messages: readonly Message[],
  trees: readonly ObjectTree[],
): Promise<PreparedMessages> {
  const checked = checkInstructions(runId, messages, trees, core.now());
  const graph = await readTrees(trees, treesField);
  const prepared: PreparedMessages["messages"][number][] = [];
  for (const message of checked) {
    prepared.push({ ...message, columns: encodeMessage(message) });
    if (prepared.length % messagesPerTurn === 0) {
      await nextTurn();
    }
  }
  return { messages: prepared, graph };
}

/** The request's field with the trees of pushed messages. */
const treesField = "message_object_trees";

/** The messages of a run that a node has taken and that are not done with. */
function takenBy(query: Kysely<StateTables>, nodeId: bigint, runId: bigint) {
  return query
    .selectFrom("instruction")
    .leftJoin("reply", (join) =>
      join
        .onRef("reply.run_id", "=", "instruction.run_id")
        .onRef("reply.instruction_id", "=", "instruction.message_id"),
    )
    .select("instruction.message_id")
    .where("instruction.run_id", "=", toSqlInteger(runId))
    .where("instruction.dst_node_id", "=", toSqlInteger(nodeId))
    .where("instruction.delivered_at", "is not", null);
}

/** An instruction with the answer to it, if there is one. */
type Taken = ExpressionBuilder<
  Pick<StateTables, "instruction"> & { reply: Nullable<StateTables["reply"]> },
  "instruction" | "reply"
>;

/** Whether an instruction has not expired, and no error stands for its node's reply. */
function isHeld({ and, eb, or }: Taken, nowMs: number) {
  return and([
    eb("instruction.expires_at", ">", nowMs / 1000),
    or([eb("reply.is_error", "is", null), eb("reply.is_error", "=", 0n)]),
  ]);
}

/** Whether the node's own reply to an instruction can still be read; see `Replies.find`. */
function hasReadableReply({ and, eb }: Taken, nowMs: number) {
  return and([
    eb("reply.is_error", "=", 0n),
    eb("reply.expires_at", ">", nowMs / 1000 - retentionSeconds),
  ]);
}

async function pushAll(
  tx: StateTransaction,
  runId: SqlUint64,
  { messages, graph }: PreparedMessages,
): Promise<PushedMessages> {
  const reachable = await reachableNodes(tx, messages);
  const accepted = messages.filter(({ metadata }) => reachable.has(metadata.dstNodeId));
  for (const batch of batches(accepted, messagesPerStatement)) {
    await insertMessages(tx, runId, batch);
    await nextTurn();
  }
  const announced =
    accepted.length === messages.length
      ? graph
      : await readTrees(
          accepted.map(({ tree }) => tree),
          treesField,
        );
  return {
    messageIds: messages.map(({ metadata }) =>
      reachable.has(metadata.dstNodeId) ? metadata.messageId : "",
    ),
    objectsToPush: await announceObjects(tx, runId, announced),
  };
}

/** The destinations that have been online and have not unregistered. */
async function reachableNodes(
  tx: StateTransaction,
  messages: readonly CheckedMessage[],
): Promise<Set<bigint>> {
  const wanted = [...new Set(messages.map(({ metadata }) => metadata.dstNodeId))];
  const reachable = new Set<bigint>();
  for (const batch of batches(wanted)) {
    const nodes = await tx.query
      .selectFrom("node")
      .select("node_id")
      .where("node_id", "in", batch.map(toSqlInteger))
      .where("online_until", "is not", null)
      .where("unregistered_at", "is", null)
      .execute();
    for (const { node_id } of nodes) {
      reachable.add(fromSqlInteger(node_id));
    }
  }
  return reachable;
}

const messagesPerStatement = 100;

/** Stores messages of a run that the transaction holds running; those that are stored already stay. */
async function insertMessages(
  tx: StateTransaction,
  runId: SqlUint64,
  messages: PreparedMessages["messages"],
): Promise<void> {
  const { numInsertedOrUpdatedRows } = await tx.query
    .insertInto("instruction")
    .values(
      messages.map((message) => ({
        run_id: runId,
        message_id: message.metadata.messageId,
        dst_node_id: toSqlInteger(message.metadata.dstNodeId),
        expires_at: expiryOf(message),
        ...message.columns,
      })),
    )
    .onConflict((conflict) => conflict.columns(["run_id", "message_id"]).doNothing())
    .executeTakeFirstOrThrow();
  if (numInsertedOrUpdatedRows !== BigInt(messages.length)) {
    await assertRepeated(tx, runId, messages);
  }
}

/** Makes sure that what is stored under the ids of some messages are these messages. */
async function assertRepeated(
  tx: StateTransaction,
  runId: SqlUint64,
  messages: PreparedMessages["messages"],
): Promise<void> {
  const stored = await tx.query
    .selectFrom("instruction")
    .select(["message_id", "message"])
    .where("run_id", "=", runId)
    .where(
      "message_id",
      "in",
      messages.map(({ metadata }) => metadata.messageId),
    )
    .execute();
  const known = new Map(stored.map(({ message_id, message }) => [message_id, message]));
  for (const { metadata, columns } of messages) {
    const message = known.get(metadata.messageId);
    if (message === undefined || Buffer.compare(message, columns.message) !== 0) {
      throw malformed(`another message has the id ${metadata.messageId}`);
    }
  }
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
  )`;
}

/** Whether a message has no answer yet: a node that gets one which has cannot do anything with it. */
const isUnanswered = sql<boolean>`not exists (
  select 1 from reply
  where reply.run_id = waiting.run_id and reply.instruction_id = waiting.message_id
)`;

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
        .where(isUnanswered)
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
    await forgetInstructions(tx, taken.run_id, [taken.message_id]);
    return undefined;
  }
  return decodeMessage(taken);
}
