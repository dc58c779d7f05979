import { sql } from "kysely";
import type { SqlUint64 } from "../../authority/sql-integer.ts";
import { isObjectId } from "../objects/object-id.ts";
import { batches } from "./batches.ts";
import type { StateTransaction } from "./core.ts";
import { nextTurn } from "./next-turn.ts";
import { holdObjects } from "./postgres-locks.ts";
import { textList } from "./text-list.ts";

/** Objects per statement: some milliseconds on SQLite. */
const batchSize = 1_000;

/** Contents per statement: SQLite walks through all of their pages. */
const contentsPerStatement = 16;

/**
 * Takes objects from a run, each unless one of the run's own objects has it as a
 * child, and then likewise its children. Another run's objects neither hold it
 * nor lose it. Unknown ids and held objects are left alone.
 */
export async function releaseObjects(
  tx: StateTransaction,
  runId: SqlUint64,
  objectIds: readonly string[],
): Promise<void> {
  await holdObjects(tx, runId, "release");
  let wasAvailable = false;
  for (let candidates = objectIds.filter(isObjectId); candidates.length > 0; ) {
    const children = new Set<string>();
    for (const batch of batches(candidates, batchSize)) {
      const removed = await removeUnheld(tx, runId, batch);
      const available = removed.filter(({ is_available }) => is_available === 1n);
      await letGo(tx, idsOf(available));
      wasAvailable ||= available.length > 0;
      for (const childId of await removeEdges(tx, runId, idsOf(removed))) {
        children.add(childId);
      }
      if (batch.length === batchSize) {
        await nextTurn();
      }
    }
    candidates = [...children];
  }
  if (wasAvailable) {
    await dropContents(tx);
  }
}

function removeUnheld(tx: StateTransaction, runId: SqlUint64, objectIds: readonly string[]) {
  return tx.query
    .deleteFrom("run_object")
    .where("run_id", "=", runId)
    .where("object_id", "in", textList(tx.database.engine, objectIds))
    .where(({ exists, not, selectFrom }) =>
      not(
        exists(
          selectFrom("run_object_child")
            .select("parent_id")
            .where("run_object_child.run_id", "=", runId)
            .whereRef("run_object_child.child_id", "=", "run_object.object_id"),
        ),
      ),
    )
    .returning(["object_id", "is_available"])
    .execute();
}

/** Removes the edges of objects that are gone, and returns the ids of the children. */
async function removeEdges(
  tx: StateTransaction,
  runId: SqlUint64,
  parentIds: readonly string[],
): Promise<string[]> {
  if (parentIds.length === 0) {
    return [];
  }
  const edges = await tx.query
    .deleteFrom("run_object_child")
    .where("run_id", "=", runId)
    .where("parent_id", "in", textList(tx.database.engine, parentIds))
    .returning("child_id")
    .execute();
  return edges.map(({ child_id }) => child_id);
}

/** Notes that a run has the bytes of some objects no more. */
async function letGo(tx: StateTransaction, objectIds: readonly string[]): Promise<void> {
  if (objectIds.length > 0) {
    await tx.query
      .updateTable("object")
      .set(({ eb }) => ({ holders: eb("holders", "-", 1n) }))
      .where("object_id", "in", textList(tx.database.engine, objectIds))
      .execute();
  }
}

/** Takes all objects from a run. What other runs have pushed too stays with them. */
export async function releaseRunObjects(tx: StateTransaction, runId: SqlUint64): Promise<void> {
  for (let gone = batchSize; gone === batchSize; await nextTurn()) {
    const removed = await tx.query
      .deleteFrom("run_object")
      .where("run_id", "=", runId)
      .where("object_id", "in", ({ selectFrom }) =>
        selectFrom("run_object as some")
          .select("some.object_id")
          .where("some.run_id", "=", runId)
          .limit(batchSize),
      )
      .returning(["object_id", "is_available"])
      .execute();
    await letGo(tx, idsOf(removed.filter(({ is_available }) => is_available === 1n)));
    await removeEdges(tx, runId, idsOf(removed));
    gone = removed.length;
  }
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
  for (const batch of batches(idsOf(dropped), contentsPerStatement)) {
    await tx.query
      .deleteFrom("object_content")
      .where("object_id", "in", textList(tx.database.engine, batch))
      .execute();
    await nextTurn();
  }
}

function idsOf(rows: readonly { readonly object_id: string }[]): string[] {
  return rows.map(({ object_id }) => object_id);
}
