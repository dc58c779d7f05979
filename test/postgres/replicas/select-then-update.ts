import type { StateTables } from "../../../src/appio/state/tables.ts";
import type { AnySqlDatabase } from "../../../src/authority/sql-database.ts";
import { toSqlInteger } from "../../../src/authority/sql-integer.ts";
import type { Outcome, Replica } from "./replica.ts";

/**
 * What the state must not do: look first, and write what was concluded. `pause`
 * is where it waits for the other replica, which may come there by itself too.
 */
export async function createSelectThenUpdate(
  database: AnySqlDatabase,
  pause: () => Promise<void>,
): Promise<Replica> {
  const { query } = database.withTables<StateTables>();

  async function pullAppInputs(runId: bigint): Promise<Outcome> {
    const id = toSqlInteger(runId);
    const run = await query
      .selectFrom("run")
      .select("run_id")
      .where("run_id", "=", id)
      .where("starting_at", "is not", null)
      .where("running_at", "is", null)
      .executeTakeFirst();
    await pause();
    if (run === undefined) {
      return "FailedPrecondition";
    }
    await query
      .updateTable("run")
      .set({ running_at: Date.now() })
      .where("run_id", "=", id)
      .execute();
    return "ok";
  }

  async function takeInstruction(nodeId: bigint): Promise<Outcome> {
    const oldest = await query
      .selectFrom("instruction")
      .select(["sequence", "message_id"])
      .where("dst_node_id", "=", toSqlInteger(nodeId))
      .where("delivered_at", "is", null)
      .orderBy("sequence")
      .executeTakeFirst();
    await pause();
    if (oldest === undefined) {
      return [];
    }
    await query
      .updateTable("instruction")
      .set({ delivered_at: Date.now() })
      .where("sequence", "=", oldest.sequence)
      .execute();
    return [oldest.message_id];
  }

  /** An error reply for an instruction that nobody knows; each makes its own. */
  async function pullReply(runId: bigint, instructionId: string): Promise<Outcome> {
    const key = { run_id: toSqlInteger(runId), instruction_id: instructionId };
    const stored = await query
      .selectFrom("reply")
      .select("message_id")
      .where("run_id", "=", key.run_id)
      .where("instruction_id", "=", instructionId)
      .executeTakeFirst();
    await pause();
    if (stored !== undefined) {
      return [stored.message_id];
    }
    const message_id = crypto.randomUUID();
    const bytes = new Uint8Array();
    const reply = { ...key, message_id, expires_at: 0, is_error: 1n, message: bytes, tree: bytes };
    await query
      .insertInto("reply")
      .values(reply)
      .onConflict((conflict) => conflict.columns(["run_id", "instruction_id"]).doUpdateSet(reply))
      .execute();
    return [message_id];
  }

  return {
    call(contested) {
      switch (contested.kind) {
        case "pullAppInputs":
          return pullAppInputs(contested.runId);
        case "takeInstruction":
          return takeInstruction(contested.nodeId);
        case "pullReply":
          return pullReply(contested.runId, contested.instructionId);
        case "confirm":
          throw new Error("nothing is decided by a confirmation");
      }
    },
  };
}
