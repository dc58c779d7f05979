import type { SqlUint64 } from "../../authority/sql-integer.ts";
import type { StateTransaction } from "./core.ts";
import { releaseObject } from "./object-release.ts";

/**
 * Deletes a reply and releases its objects.
 *
 * @returns The id of the instruction that it answered, if there was such a reply.
 */
export async function forgetReply(
  tx: StateTransaction,
  runId: SqlUint64,
  messageId: string,
): Promise<string | undefined> {
  const reply = await tx.query
    .deleteFrom("reply")
    .where("run_id", "=", runId)
    .where("message_id", "=", messageId)
    .returning("instruction_id")
    .executeTakeFirst();
  await releaseObject(tx, runId, messageId);
  return reply?.instruction_id;
}

/** Deletes an instruction, if there is one of that id, and releases its objects. */
export async function forgetInstruction(
  tx: StateTransaction,
  runId: SqlUint64,
  messageId: string,
): Promise<void> {
  const { numDeletedRows } = await tx.query
    .deleteFrom("instruction")
    .where("run_id", "=", runId)
    .where("message_id", "=", messageId)
    .executeTakeFirstOrThrow();
  if (numDeletedRows > 0n) {
    await releaseObject(tx, runId, messageId);
  }
}
