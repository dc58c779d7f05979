import { sql } from "kysely";
import type { SqlUint64 } from "../../authority/sql-integer.ts";
import type { StateTransaction } from "./core.ts";
import { batches } from "./object-trees.ts";
import { holdObjects } from "./postgres-locks.ts";

/**
 * Takes an object from a run unless one of the run's own objects has it as a
 * child, and then likewise its children. Another run's objects neither hold it
 * nor lose it. Unknown ids and held objects are left alone.
 */
export async function releaseObject(
  tx: StateTransaction,
  runId: SqlUint64,
  objectId: string,
): Promise<void> {
  await holdObjects(tx, runId, "release");
  const candidates = [objectId];
  for (let id = candidates.pop(); id !== undefined; id = candidates.pop()) {
    const removed = await removeUnheld(tx, runId, id);
    if (removed === undefined) {
      continue;
    }
    const children = await tx.query
      .deleteFrom("run_object_child")
      .where("run_id", "=", runId)
      .where("parent_id", "=", id)
      .returning("child_id")
      .execute();
    candidates.push(...children.map(({ child_id }) => child_id));
    if (removed.is_available === 1n) {
      await tx.query
        .updateTable("object")
        .set(({ eb }) => ({ holders: eb("holders", "-", 1n) }))
        .where("object_id", "=", id)
        .execute();
      await dropContents(tx);
    }
  }
}

function removeUnheld(tx: StateTransaction, runId: SqlUint64, objectId: string) {
  return tx.query
    .deleteFrom("run_object")
    .where("run_id", "=", runId)
    .where("object_id", "=", objectId)
    .where(({ exists, not, selectFrom }) =>
      not(
        exists(
          selectFrom("run_object_child")
            .select("parent_id")
            .where("run_object_child.run_id", "=", runId)
            .where("run_object_child.child_id", "=", objectId),
        ),
      ),
    )
    .returning("is_available")
    .executeTakeFirst();
}

/** Takes all objects from a run. What other runs have pushed too stays with them. */
export async function releaseRunObjects(tx: StateTransaction, runId: SqlUint64): Promise<void> {
  await tx.query
    .updateTable("object")
    .set(({ eb }) => ({ holders: eb("holders", "-", 1n) }))
    .where("object_id", "in", ({ selectFrom }) =>
      selectFrom("run_object")
        .select("run_object.object_id")
        .where("run_id", "=", runId)
        .where("is_available", "=", 1n),
    )
    .execute();
  await tx.query.deleteFrom("run_object_child").where("run_id", "=", runId).execute();
  await tx.query.deleteFrom("run_object").where("run_id", "=", runId).execute();
  await dropContents(tx);
}

/** Deletes the bytes that no run has any more. */
async function dropContents(tx: StateTransaction): Promise<void> {
  // The counting rows go first and by themselves: their locks decide, against a
  // run that pushes the same object at this moment, whether the bytes go or stay.
  const dropped = await tx.query
    .deleteFrom("object")
    // A literal: an engine uses the index on unheld objects for no parameter.
    .where(sql<boolean>`holders <= 0`)
    .returning("object_id")
    .execute();
  for (const batch of batches(dropped.map(({ object_id }) => object_id))) {
    await tx.query.deleteFrom("object_content").where("object_id", "in", batch).execute();
  }
}
