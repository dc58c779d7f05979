import { createHash } from "node:crypto";
import { Code, ConnectError } from "@connectrpc/connect";
import type { ObjectTree } from "../../../gen/flwr/proto/message_pb.ts";
import { toSqlInteger } from "../../authority/index.ts";
import { isObjectId, objectIdOf } from "../objects/object-id.ts";
import { objectIdsOf } from "../objects/object-tree.ts";
import { releaseObject } from "../state/object-release.ts";
import { announceTrees } from "../state/object-trees.ts";
import { checkStructure, type FoundObject, findObject, keepContent } from "../state/objects.ts";
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
   * @throws ConnectError InvalidArgument when an id has not the form of one
   */
  announce(tx: NodeTransaction, runId: bigint, tree: ObjectTree): Promise<string[]>;
  /** Stores a content that {@link isContentOf} has checked; false when the run has not announced the object. */
  put(tx: NodeTransaction, runId: bigint, objectId: string, content: Uint8Array): Promise<boolean>;
  /** Finds an object; undefined when the run has not announced it. */
  find(tx: NodeTransaction, runId: bigint, objectId: string): Promise<FoundObject | undefined>;
  /** Frees an object and what it alone holds, unless another of the run's objects refers to it. */
  release(tx: NodeTransaction, runId: bigint, objectId: string): Promise<void>;
}

/** The objects of a node. */
export const nodeObjects: NodeObjects = {
  async announce(tx, runId, tree) {
    if (!objectIdsOf(tree).every(isObjectId)) {
      throw new ConnectError(
        "An object id must have 64 hexadecimal characters.",
        Code.InvalidArgument,
      );
    }
    return announceTrees(tx.withTables<StateTables>(), toSqlInteger(runId), [tree]);
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
      await keepContent(objects, objectId, content);
      return true;
    }
    return (await findObject(objects, id, objectId)) !== undefined;
  },

  find: (tx, runId, objectId) =>
    findObject(tx.withTables<StateTables>(), toSqlInteger(runId), objectId),

  release: (tx, runId, objectId) =>
    releaseObject(tx.withTables<StateTables>(), toSqlInteger(runId), objectId),
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
  checkStructure(content, objectId);
  return true;
}
