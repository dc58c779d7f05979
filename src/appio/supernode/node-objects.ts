import { createHash } from "node:crypto";
import type { ObjectTree } from "../../../gen/flwr/proto/message_pb.ts";
import { toSqlInteger } from "../../authority/index.ts";
import { objectIdOf } from "../objects/object-id.ts";
import { readTrees } from "../state/object-graph.ts";
import { releaseObjects, releaseRunObjects } from "../state/object-release.ts";
import { announceObjects, setChildren } from "../state/object-trees.ts";
import {
  childIdsOf,
  type FoundObject,
  findObject,
  hasObject,
  keepContent,
} from "../state/objects.ts";
import type { StateTables } from "../state/tables.ts";
import type { NodeTransaction } from "./node-tables.ts";

/**
 * The objects of a node's runs: the SuperLink's tables and rules (contract 7.6, per run), without its runs. No run
 * sees, pins or frees another's objects.
 */
export interface NodeObjects {
  /**
   * Announces the objects of a tree; returns the ids, children first, whose content the run lacks.
   *
   * @throws ConnectError InvalidArgument when an id has not the form of one, or there are too many (`callLimits`)
   */
  announce(tx: NodeTransaction, runId: bigint, tree: ObjectTree): Promise<string[]>;
  /** Stores a content that {@link isContentOf} has checked; false when the run has not announced the object. */
  put(tx: NodeTransaction, runId: bigint, objectId: string, content: Uint8Array): Promise<boolean>;
  /** Finds an object; undefined when the run has not announced it. */
  find(tx: NodeTransaction, runId: bigint, objectId: string): Promise<FoundObject | undefined>;
  /** Frees an object and what it alone holds, unless another of the run's objects refers to it. */
  release(tx: NodeTransaction, runId: bigint, objectId: string): Promise<void>;
  /** Frees all objects of a run. */
  releaseAll(tx: NodeTransaction, runId: bigint): Promise<void>;
}

/** The objects of a node. */
export const nodeObjects: NodeObjects = {
  async announce(tx, runId, tree) {
    const graph = await readTrees([tree], "message_object_trees");
    return announceObjects(tx.withTables<StateTables>(), toSqlInteger(runId), graph);
  },

  async put(tx, runId, objectId, content) {
    const objects = tx.withTables<StateTables>();
    const id = toSqlInteger(runId);
    const { numUpdatedRows } = await objects.query
      .updateTable("run_object")
      .set({ is_available: 1n })
      .where("run_id", "=", id)
      .where("object_id", "=", objectId)
      .where("is_available", "=", 0n)
      .executeTakeFirstOrThrow();
    if (numUpdatedRows > 0n) {
      await setChildren(objects, id, objectId, childIdsOf(content, objectId));
      await keepContent(objects, objectId, content);
      return true;
    }
    return hasObject(objects, id, objectId);
  },

  find: (tx, runId, objectId) =>
    findObject(tx.withTables<StateTables>(), toSqlInteger(runId), objectId),

  release: (tx, runId, objectId) =>
    releaseObjects(tx.withTables<StateTables>(), toSqlInteger(runId), [objectId]),

  releaseAll: (tx, runId) => releaseRunObjects(tx.withTables<StateTables>(), toSqlInteger(runId)),
};

/**
 * Tells whether a content hashes to an id. Comes before a transaction: it takes time, and changes nothing.
 *
 * @throws ConnectError FailedPrecondition when it does but has not the structure of an object (contract 5.5)
 */
export function isContentOf(objectId: string, content: Uint8Array): boolean {
  if (objectIdOf(content, () => createHash("sha256")) !== objectId) {
    return false;
  }
  childIdsOf(content, objectId);
  return true;
}
