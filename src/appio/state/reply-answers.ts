import type { Selectable } from "kysely";
import type { SqlUint64 } from "../../authority/sql-integer.ts";
import type { StateCore, StateTransaction } from "./core.ts";
import { type ErrorReplyCause, makeErrorReply } from "./error-reply.ts";
import { forgetInstruction, forgetReply } from "./forget-messages.ts";
import { batches } from "./object-trees.ts";
import { addOwnObject, hasObject } from "./objects.ts";
import { decodeMessage, encodeMessage, type StoredMessage } from "./stored-message.ts";
import type { InstructionTable, ReplyTable } from "./tables.ts";

type Instruction = Selectable<InstructionTable>;
type Reply = Selectable<ReplyTable>;

/** An answer is kept for a day after its ttl, in seconds. */
const retentionSeconds = 86_400;

/** Returns the answers to instructions, making the error replies that are due; `Replies.find` says which. */
export async function answersTo(
  core: StateCore,
  tx: StateTransaction,
  runId: SqlUint64,
  instructionIds: readonly string[],
): Promise<StoredMessage[]> {
  const nowMs = core.now();
  const answers: StoredMessage[] = [];
  for (const batch of batches(instructionIds)) {
    const instructions = await findInstructions(tx, runId, batch, nowMs);
    const replies = await findReplies(tx, runId, batch);
    for (const id of batch) {
      const known = { instruction: instructions.get(id), reply: replies.get(id) };
      const answer = await answerTo(tx, { runId, id, nowMs }, known);
      if (answer !== undefined) {
        answers.push(answer);
      }
    }
  }
  return answers;
}

/** What is asked: the answer to one instruction of a run, at one instant. */
interface Question {
  readonly runId: SqlUint64;
  readonly id: string;
  readonly nowMs: number;
}

interface Known {
  readonly instruction: (Instruction & { readonly isReachable: boolean }) | undefined;
  readonly reply: Reply | undefined;
}

async function answerTo(
  tx: StateTransaction,
  question: Question,
  { instruction, reply }: Known,
): Promise<StoredMessage | undefined> {
  const { runId, id, nowMs } = question;
  if (reply === undefined) {
    if (instruction === undefined || instruction.expires_at <= nowMs / 1000) {
      return storeErrorReply(tx, question, "messageUnavailable", instruction);
    }
    return instruction.isReachable
      ? undefined
      : storeErrorReply(tx, question, "nodeUnavailable", instruction);
  }
  if (reply.expires_at + retentionSeconds <= nowMs / 1000) {
    await forgetReply(tx, runId, reply.message_id);
    const cause = reply.is_error === 1n ? "messageUnavailable" : "replyMessageUnavailable";
    return storeErrorReply(tx, question, cause, instruction);
  }
  if (await hasObject(tx, runId, reply.message_id)) {
    return decodeMessage(reply);
  }
  // Without its objects a reply can never be read, so Flower drops it too.
  await forgetReply(tx, runId, reply.message_id);
  await forgetInstruction(tx, runId, id);
  return undefined;
}

async function findInstructions(
  tx: StateTransaction,
  runId: SqlUint64,
  ids: readonly string[],
  nowMs: number,
): Promise<Map<string, Instruction & { readonly isReachable: boolean }>> {
  const rows = await tx.query
    .selectFrom("instruction")
    .leftJoin("node", (join) =>
      join
        .onRef("node.node_id", "=", "instruction.dst_node_id")
        .on("node.unregistered_at", "is", null),
    )
    .selectAll("instruction")
    .select("node.online_until")
    .where("instruction.run_id", "=", runId)
    .where("instruction.message_id", "in", ids)
    .execute();
  return new Map(
    rows.map(({ online_until, ...instruction }) => [
      instruction.message_id,
      { ...instruction, isReachable: online_until !== null && online_until >= nowMs },
    ]),
  );
}

async function findReplies(
  tx: StateTransaction,
  runId: SqlUint64,
  ids: readonly string[],
): Promise<Map<string, Reply>> {
  const rows = await tx.query
    .selectFrom("reply")
    .selectAll()
    .where("run_id", "=", runId)
    .where("instruction_id", "in", ids)
    .execute();
  return new Map(rows.map((reply) => [reply.instruction_id, reply]));
}

/**
 * Stores an error reply as the answer, with its object, and returns it. If
 * another answer has come first, that one is returned.
 */
async function storeErrorReply(
  tx: StateTransaction,
  { runId, id, nowMs }: Question,
  cause: ErrorReplyCause,
  instruction: Instruction | undefined,
): Promise<StoredMessage | undefined> {
  const metadata = instruction && decodeMessage(instruction).message.metadata;
  const reply = makeErrorReply(cause, id, metadata, nowMs);
  const { numInsertedOrUpdatedRows } = await tx.query
    .insertInto("reply")
    .values({
      run_id: runId,
      instruction_id: id,
      message_id: reply.messageId,
      expires_at: reply.expiresAt,
      is_error: 1n,
      ...encodeMessage(reply),
    })
    .onConflict((conflict) => conflict.columns(["run_id", "instruction_id"]).doNothing())
    .executeTakeFirstOrThrow();
  if (numInsertedOrUpdatedRows === 0n) {
    const first = (await findReplies(tx, runId, [id])).get(id);
    return first && decodeMessage(first);
  }
  await addOwnObject(tx, runId, reply.messageId, reply.content);
  return { message: reply.message, tree: reply.tree };
}
