import { sql } from "kysely";
import { hotStatement } from "../../authority/hot-statement.ts";
import type { SqlUint64 } from "../../authority/sql-integer.ts";
import { batches } from "./batches.ts";
import type { StateTransaction } from "./core.ts";
import { nextTurn } from "./next-turn.ts";
import type { ObjectGraph } from "./object-graph.ts";
import { holdObjects } from "./postgres-locks.ts";
import type { StateTables } from "./tables.ts";
import { textList, textTable } from "./text-list.ts";

/** Objects per statement: some milliseconds on SQLite. */
const batchSize = 1_000;

/**
 * Announces objects for a run. Until the bytes of an object are there, it has
 * all the children that were ever announced for it: whoever knows its id could
 * else announce it without them, before or after its owner does, and then have
 * them released. The bytes say which it has ({@link setChildren}); what is
 * announced later of an object whose bytes the run has pushed changes nothing.
 *
 * @returns Ids of the objects whose bytes the run has not pushed, children first.
 */
export async function announceObjects(
  tx: StateTransaction,
  runId: SqlUint64,
  { objectIds, children }: ObjectGraph,
): Promise<string[]> {
  await holdObjects(tx, runId, "announce");
  const missing = new Set<string>();
  // In one order for all: two who announce the same objects must not wait for each other.
  for (const batch of batches(objectIds.toSorted(), batchSize)) {
    for (const objectId of await announceBatch(tx, runId, batch)) {
      missing.add(objectId);
    }
    const edges = batch
      .filter((objectId) => missing.has(objectId))
      .flatMap((parent) => (children.get(parent) ?? []).map((child) => parent + child));
    for (const some of batches(edges, batchSize)) {
      await addEdges(tx, runId, some);
    }
    if (batch.length === batchSize) {
      await nextTurn();
    }
  }
  return objectIds.filter((objectId) => missing.has(objectId));
}

async function announceBatch(
  tx: StateTransaction,
  runId: SqlUint64,
  objectIds: readonly string[],
): Promise<string[]> {
  const { engine } = tx.database;
  await sql`
    insert into run_object (run_id, object_id)
    select cast(${runId} as bigint), listed.value from ${textTable(engine, objectIds)} where true
    on conflict do nothing
  `.execute(tx.query);
  const missing = await tx.query
    .selectFrom("run_object")
    .select("object_id")
    .where("run_id", "=", runId)
    .where("is_available", "=", 0n)
    .where("object_id", "in", textList(engine, objectIds))
    .execute();
  return missing.map(({ object_id }) => object_id);
}

/** The length of an object's id. */
const idLength = sql.lit(64);

/** Adds edges that are not there yet, each given as the parent's id followed by the child's. */
async function addEdges(
  tx: StateTransaction,
  runId: SqlUint64,
  edges: readonly string[],
): Promise<void> {
  await sql`
    insert into run_object_child (run_id, parent_id, child_id)
    select cast(${runId} as bigint), substr(listed.value, 1, ${idLength}), substr(listed.value, ${idLength} + 1)
    from ${textTable(tx.database.engine, edges)} where true
    on conflict do nothing
  `.execute(tx.query);
}

/** Makes an object's children those that its bytes name, whatever was announced. */
export async function setChildren(
  tx: StateTransaction,
  runId: SqlUint64,
  objectId: string,
  childIds: readonly string[],
): Promise<void> {
  const { rows } = await readChildren(tx, { runId, objectId });
  const wanted = new Set(childIds);
  const known = new Set(rows.map(({ child_id }) => child_id));
  const extra = [...known].filter((childId) => !wanted.has(childId));
  for (const some of batches(extra, batchSize)) {
    await tx.query
      .deleteFrom("run_object_child")
      .where("run_id", "=", runId)
      .where("parent_id", "=", objectId)
      .where("child_id", "in", textList(tx.database.engine, some))
      .execute();
  }
  const lacking = [...wanted].filter((childId) => !known.has(childId));
  for (const some of batches(lacking, batchSize)) {
    await addEdges(
      tx,
      runId,
      some.map((childId) => objectId + childId),
    );
  }
}

const readChildren = hotStatement<StateTables, { runId: SqlUint64; objectId: string }>()(
  (query, value) =>
    query
      .selectFrom("run_object_child")
      .select("child_id")
      .where("run_id", "=", value("runId"))
      .where("parent_id", "=", value("objectId")),
);
