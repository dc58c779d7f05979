import { toSqlInteger } from "../../authority/sql-integer.ts";
import type { StateCore } from "./core.ts";

/**
 * Tells whether an object that a run waits for will never come: it is part of
 * replies, and all of the nodes that have announced those are out of reach. A
 * node that ends between announcing its reply and pushing the objects leaves such
 * ones. An object that no reply has is the app's own to push, and never lost.
 */
export async function isLost(core: StateCore, runId: bigint, objectId: string): Promise<boolean> {
  const run = toSqlInteger(runId);
  const { replies, online_until } = await core.database.query
    .withRecursive("part_of(object_id)", (db) =>
      db
        .selectFrom("run_object")
        .select("object_id")
        .where("run_id", "=", run)
        .where("object_id", "=", objectId)
        // It may have come since somebody looked.
        .where("is_available", "=", 0n)
        .union(
          db
            .selectFrom("run_object_child")
            .innerJoin("part_of", "part_of.object_id", "run_object_child.child_id")
            .select("run_object_child.parent_id as object_id")
            .where("run_object_child.run_id", "=", run),
        ),
    )
    .selectFrom("reply")
    .innerJoin("part_of", "part_of.object_id", "reply.message_id")
    .leftJoin("instruction", (join) =>
      join
        .onRef("instruction.run_id", "=", "reply.run_id")
        .onRef("instruction.message_id", "=", "reply.instruction_id"),
    )
    .leftJoin("node", (join) =>
      join
        .onRef("node.node_id", "=", "instruction.dst_node_id")
        .on("node.unregistered_at", "is", null),
    )
    .select(({ fn }) => [
      fn.countAll().as("replies"),
      fn.max("node.online_until").as("online_until"),
    ])
    .where("reply.run_id", "=", run)
    .where("reply.is_error", "=", 0n)
    .executeTakeFirstOrThrow();
  return Number(replies) > 0 && (online_until === null || Number(online_until) < core.now());
}
