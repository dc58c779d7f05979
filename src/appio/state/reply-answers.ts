import { sql } from "kysely";
import type { Metadata } from "../../../gen/flwr/proto/message_pb.ts";
import type { SqlUint64 } from "../../authority/sql-integer.ts";
import { batches } from "./batches.ts";
import type { StateCore, StateTransaction } from "./core.ts";
import { type ErrorReplyCause, makeErrorReply } from "./error-reply.ts";
import { forgetInstructions, forgetReplies } from "./forget-messages.ts";
import { nextTurn } from "./next-turn.ts";
import { addOwnObjects } from "./objects.ts";
import {
  decodeMessage,
  decodeMetadata,
  encodeMessage,
  type StoredMessage,
} from "./stored-message.ts";
import { boundUnasked, maxUnaskedAnswers } from "./unasked-answers.ts";

/** An answer is kept for a day after its ttl, in seconds. */
export const retentionSeconds = 86_400;

/** About how many bytes of messages and trees a call answers with; the rest waits for the next call. */
const maxAnswerBytes = 8 * 1024 * 1024;

/** How many error replies a call makes; the rest waits for the next call. */
const maxNewErrors = 1_000;

/** What is known of one instruction that is asked about. */
interface Question {
  readonly id: string;
  readonly instruction: KnownInstruction | undefined;
  readonly reply: KnownReply | undefined;
}

interface KnownInstruction {
  readonly expires_at: number;
  readonly isReachable: boolean;
}

interface KnownReply {
  readonly message_id: string;
  readonly expires_at: number;
  readonly is_error: bigint;
  /** Whether the object that it is, is still there. */
  readonly isWhole: boolean;
  /** Bytes of the message and its tree. */
  readonly size: number;
}

/**
 * Returns the answers to instructions, making the error replies that are due;
 * `Replies.find` says which. Answers with about 8 MiB, and makes at most 1,000
 * error replies: whoever has confirmed those gets the rest.
 */
export async function answersTo(
  core: StateCore,
  tx: StateTransaction,
  runId: SqlUint64,
  instructionIds: readonly string[],
): Promise<StoredMessage[]> {
  const nowMs = core.now();
  const page = createPage();
  for (const batch of batches(instructionIds)) {
    for (const question of await lookUp(tx, runId, batch, nowMs)) {
      decide(page, question, nowMs);
    }
    if (page.isFull()) {
      break;
    }
    await nextTurn();
  }
  await forgetReplies(tx, runId, page.lost);
  await forgetInstructions(tx, runId, page.pointless);
  await storeErrorReplies(tx, runId, page.errors, nowMs);
  if (page.unasked > 0) {
    await boundUnasked(tx, runId, new Set(page.answered));
  }
  return readReplies(tx, runId, page.answered);
}

/** An error reply to be made to the instruction of an id. */
interface DueError {
  readonly id: string;
  readonly cause: ErrorReplyCause;
}

/** What is to become of the instructions that a call asks about. */
interface Page {
  /** Ids of the instructions that are answered. */
  readonly answered: string[];
  /** The error replies to be made. */
  readonly errors: DueError[];
  /** Ids of replies that can be read no more. */
  readonly lost: string[];
  /** Ids of instructions whose replies are lost for good. */
  readonly pointless: string[];
  /** Bytes of the stored replies that are answered with. */
  bytes: number;
  /** Answers to ids under which the run has no instruction. */
  unasked: number;
  isFull(): boolean;
}

function createPage(): Page {
  return {
    answered: [],
    errors: [],
    lost: [],
    pointless: [],
    bytes: 0,
    unasked: 0,
    isFull() {
      return this.bytes >= maxAnswerBytes;
    },
  };
}

function decide(page: Page, { id, instruction, reply }: Question, nowMs: number): void {
  const fail = (cause: ErrorReplyCause): boolean => {
    const fits = page.errors.length < maxNewErrors && (instruction !== undefined || hasRoom(page));
    if (fits) {
      page.errors.push({ id, cause });
      page.answered.push(id);
    }
    return fits;
  };
  if (reply === undefined) {
    if (instruction === undefined || instruction.expires_at <= nowMs / 1000) {
      fail("messageUnavailable");
    } else if (!instruction.isReachable) {
      fail("nodeUnavailable");
    }
  } else if (reply.expires_at + retentionSeconds <= nowMs / 1000) {
    if (fail(reply.is_error === 1n ? "messageUnavailable" : "replyMessageUnavailable")) {
      page.lost.push(reply.message_id);
    }
  } else if (!reply.isWhole) {
    // Without its objects a reply can never be read, so Flower drops it too.
    page.lost.push(reply.message_id);
    page.pointless.push(id);
  } else if (!page.isFull() && (instruction !== undefined || hasRoom(page))) {
    page.bytes += reply.size;
    page.answered.push(id);
  }
}

/** Takes the place of one more answer to an id under which there is no instruction, if there is room. */
function hasRoom(page: Page): boolean {
  page.unasked += 1;
  return page.unasked <= maxUnaskedAnswers;
}

/** Looks up what decides about the answers: not the messages and trees, which may be large. */
async function lookUp(
  tx: StateTransaction,
  runId: SqlUint64,
  ids: readonly string[],
  nowMs: number,
): Promise<Question[]> {
  const instructions = await tx.query
    .selectFrom("instruction")
    .leftJoin("node", (join) =>
      join
        .onRef("node.node_id", "=", "instruction.dst_node_id")
        .on("node.unregistered_at", "is", null),
    )
    .select(["instruction.message_id", "instruction.expires_at", "node.online_until"])
    .where("instruction.run_id", "=", runId)
    .where("instruction.message_id", "in", ids)
    .execute();
  const replies = await tx.query
    .selectFrom("reply")
    .leftJoin("run_object", (join) =>
      join
        .onRef("run_object.run_id", "=", "reply.run_id")
        .onRef("run_object.object_id", "=", "reply.message_id"),
    )
    .select(["reply.instruction_id", "reply.message_id", "reply.expires_at", "reply.is_error"])
    .select("run_object.object_id")
    .select(sql<bigint>`length(reply.message) + length(reply.tree)`.as("size"))
    .where("reply.run_id", "=", runId)
    .where("reply.instruction_id", "in", ids)
    .execute();
  const instructionOf = new Map(
    instructions.map(({ message_id, expires_at, online_until }) => [
      message_id,
      { expires_at, isReachable: online_until !== null && online_until >= nowMs },
    ]),
  );
  const replyOf = new Map(
    replies.map(({ instruction_id, object_id, size, ...reply }) => [
      instruction_id,
      { ...reply, isWhole: object_id !== null, size: Number(size) },
    ]),
  );
  return ids.map((id) => ({ id, instruction: instructionOf.get(id), reply: replyOf.get(id) }));
}

/** Stores error replies as the answers, with their objects, unless another answer has come first. */
async function storeErrorReplies(
  tx: StateTransaction,
  runId: SqlUint64,
  errors: readonly DueError[],
  nowMs: number,
): Promise<void> {
  for (const batch of batches(errors, 100)) {
    const metadata = await metadataOf(tx, runId, batch);
    const made = batch.map(({ id, cause }) => ({
      id,
      reply: makeErrorReply(cause, id, metadata.get(id), nowMs),
    }));
    const stored = await tx.query
      .insertInto("reply")
      .values(
        made.map(({ id, reply }) => ({
          run_id: runId,
          instruction_id: id,
          message_id: reply.messageId,
          expires_at: reply.expiresAt,
          is_error: 1n,
          ...encodeMessage(reply),
        })),
      )
      .onConflict((conflict) => conflict.doNothing())
      .returning("message_id")
      .execute();
    const isStored = new Set(stored.map(({ message_id }) => message_id));
    await addOwnObjects(
      tx,
      runId,
      made
        .filter(({ reply }) => isStored.has(reply.messageId))
        .map(({ reply: { messageId, content } }) => ({ objectId: messageId, content })),
    );
    await nextTurn();
  }
}

/** The metadata of the instructions that error replies take it over from. */
async function metadataOf(
  tx: StateTransaction,
  runId: SqlUint64,
  errors: readonly DueError[],
): Promise<Map<string, Metadata | undefined>> {
  const ids = errors.flatMap(({ id, cause }) => (cause === "messageUnavailable" ? [] : [id]));
  if (ids.length === 0) {
    return new Map();
  }
  const rows = await tx.query
    .selectFrom("instruction")
    .select(["message_id", "message"])
    .where("run_id", "=", runId)
    .where("message_id", "in", ids)
    .execute();
  return new Map(rows.map(({ message_id, message }) => [message_id, decodeMetadata(message)]));
}

/** Reads the replies to some instructions, in their order. */
async function readReplies(
  tx: StateTransaction,
  runId: SqlUint64,
  instructionIds: readonly string[],
): Promise<StoredMessage[]> {
  const answers: StoredMessage[] = [];
  for (const batch of batches(instructionIds, 50)) {
    const rows = await tx.query
      .selectFrom("reply")
      .select(["instruction_id", "message", "tree"])
      .where("run_id", "=", runId)
      .where("instruction_id", "in", batch)
      .execute();
    const byId = new Map(rows.map((row) => [row.instruction_id, row]));
    for (const id of batch) {
      const row = byId.get(id);
      if (row !== undefined) {
        answers.push(decodeMessage(row));
      }
    }
    await nextTurn();
  }
  return answers;
}
