import type { SqlUint64 } from "../../authority/sql-integer.ts";
import { batches } from "./batches.ts";
import type { StateTransaction } from "./core.ts";
import { releaseObjects } from "./object-release.ts";

/**
 * Deletes replies and releases their objects; of what is no reply, the object
 * is released all the same.
 *
 * @returns The ids of the instructions that they answered.
 */
export async function forgetReplies(
  tx: StateTransaction,
  runId: SqlUint64,
  messageIds: readonly string[],
): Promise<string[]> {
  const answered: string[] = [];
  for (const batch of batches(messageIds)) {
    const replies = await tx.query
      .deleteFrom("reply")
      .where("run_id", "=", runId)
      .where("message_id", "in", batch)
      .returning("instruction_id")
      .execute();
    answered.push(...replies.map(({ instruction_id }) => instruction_id));
  }
  await releaseObjects(tx, runId, messageIds);
  return answered;
}

/** Deletes instructions, where there are such, and releases their objects. */
export async function forgetInstructions(
  tx: StateTransaction,
  runId: SqlUint64,
  messageIds: readonly string[],
): Promise<void> {
  for (const batch of batches(messageIds)) {
    const deleted = await tx.query
      .deleteFrom("instruction")
      .where("run_id", "=", runId)
      .where("message_id", "in", batch)
      .returning("message_id")
      .execute();
    await releaseObjects(
      tx,
      runId,
      deleted.map(({ message_id }) => message_id),
    );
  }
}
