import type { SqlUint64 } from "../../authority/sql-integer.ts";
import type { StateTransaction } from "./core.ts";
import { forgetReplies } from "./forget-messages.ts";

/**
 * How many error replies a run may have to ids under which it has no
 * instruction: unknown ones, confirmed ones, ones of another run. Each is kept
 * until it is confirmed, since its object has to be pulled; an app that asks
 * about more and more ids without confirming loses the oldest ones.
 */
export const maxUnaskedAnswers = 1_000;

/**
 * Forgets the oldest error replies to ids without an instruction while there
 * are too many of them, but none to the ids in `answered`.
 */
export async function boundUnasked(
  tx: StateTransaction,
  runId: SqlUint64,
  answered: ReadonlySet<string>,
): Promise<void> {
  const unasked = await tx.query
    .selectFrom("reply")
    .select(["instruction_id", "message_id"])
    .where("run_id", "=", runId)
    .where("is_error", "=", 1n)
    .where(({ exists, not, selectFrom }) =>
      not(
        exists(
          selectFrom("instruction")
            .select("instruction.message_id")
            .whereRef("instruction.run_id", "=", "reply.run_id")
            .whereRef("instruction.message_id", "=", "reply.instruction_id"),
        ),
      ),
    )
    .orderBy("expires_at", "desc")
    .orderBy("message_id")
    .execute();
  const excess = unasked
    .slice(maxUnaskedAnswers)
    .filter(({ instruction_id }) => !answered.has(instruction_id));
  await forgetReplies(
    tx,
    runId,
    excess.map(({ message_id }) => message_id),
  );
}
