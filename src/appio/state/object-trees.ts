import type { ObjectTree } from "../../../gen/flwr/proto/message_pb.ts";
import type { SqlUint64 } from "../../authority/sql-integer.ts";
import type { StateTransaction } from "./core.ts";
import { holdObjects } from "./postgres-locks.ts";

/**
 * Announces the objects of trees for a run, children before parents. An object
 * that the run has announced before keeps the children it had then.
 *
 * @returns Ids of the objects whose bytes the run has not pushed, each once.
 */
export async function announceTrees(
  tx: StateTransaction,
  runId: SqlUint64,
  trees: readonly ObjectTree[],
): Promise<string[]> {
  const nodes = new Map<string, ObjectTree>();
  for (const tree of trees) {
    for (const node of nodesOf(tree)) {
      if (!nodes.has(node.objectId)) {
        nodes.set(node.objectId, node);
      }
    }
  }
  await holdObjects(tx, runId, "announce");
  // In one order for all: two who announce the same objects must not wait for each other.
  const inOrder = [...nodes.values()].toSorted((a, b) => (a.objectId < b.objectId ? -1 : 1));
  const missing = new Set<string>();
  for (const batch of batches(inOrder)) {
    for (const objectId of await announceBatch(tx, runId, batch)) {
      missing.add(objectId);
    }
  }
  return [...nodes.keys()].filter((objectId) => missing.has(objectId));
}

async function announceBatch(
  tx: StateTransaction,
  runId: SqlUint64,
  nodes: readonly ObjectTree[],
): Promise<string[]> {
  const announced = await tx.query
    .insertInto("run_object")
    .values(nodes.map(({ objectId }) => ({ run_id: runId, object_id: objectId })))
    .onConflict((conflict) => conflict.doNothing())
    .returning("object_id")
    .execute();
  const isNew = new Set(announced.map(({ object_id }) => object_id));
  const edges = nodes
    .filter(({ objectId }) => isNew.has(objectId))
    .flatMap(({ objectId, children }) =>
      [...new Set(children.map((child) => child.objectId))].map((childId) => ({
        run_id: runId,
        parent_id: objectId,
        child_id: childId,
      })),
    );
  for (const batch of batches(edges)) {
    await tx.query.insertInto("run_object_child").values(batch).execute();
  }
  const missing = await tx.query
    .selectFrom("run_object")
    .select("object_id")
    .where("run_id", "=", runId)
    .where("is_available", "=", 0n)
    .where(
      "object_id",
      "in",
      nodes.map(({ objectId }) => objectId),
    )
    .execute();
  return missing.map(({ object_id }) => object_id);
}

/** Yields the nodes of a tree, children before parents, at any depth. */
function* nodesOf(tree: ObjectTree): Generator<ObjectTree> {
  const path = [{ node: tree, next: 0 }];
  for (let step = path.at(-1); step !== undefined; step = path.at(-1)) {
    const child = step.node.children[step.next];
    if (child === undefined) {
      yield step.node;
      path.pop();
    } else {
      step.next += 1;
      path.push({ node: child, next: 0 });
    }
  }
}

/** Rows per statement: engines bound the number of parameters. */
const batchSize = 500;

/** Cuts a list into pieces that fit into one statement. */
export function* batches<T>(list: readonly T[]): Generator<T[]> {
  for (let start = 0; start < list.length; start += batchSize) {
    yield list.slice(start, start + batchSize);
  }
}
