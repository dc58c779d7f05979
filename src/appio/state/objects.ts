import { createHash } from "node:crypto";
import { Code, ConnectError } from "@connectrpc/connect";
import { type OnConflictBuilder, sql } from "kysely";
import { hotStatement } from "../../authority/hot-statement.ts";
import { type SqlUint64, toSqlInteger } from "../../authority/sql-integer.ts";
import { objectIdOf } from "../objects/object-id.ts";
import { ObjectStructureError, parseObject } from "../objects/structure.ts";
import { batches } from "./batches.ts";
import type { StateCore, StateTransaction } from "./core.ts";
import { assertHonest } from "./honest-replies.ts";
import { piecesOf, readLargeBytes } from "./large-bytes.ts";
import { assertRunning, holdRunning, runningRun } from "./liveness.ts";
import { releaseObjects } from "./object-release.ts";
import { setChildren } from "./object-trees.ts";
import type { StateTables } from "./tables.ts";
import { transact } from "./transact.ts";

/** What a run can be told about an object. */
export interface FoundObject {
  /** The bytes; undefined while the run has announced the object but not pushed them. */
  readonly content: Uint8Array | undefined;
}

/**
 * The objects of runs. An object belongs to each run that announced it (it
 * stands in the tree of a message that was pushed) and is available to each
 * run that pushed its bytes, the SuperLink keeping them once. What one run does
 * is never seen by another. All of it needs a running run.
 */
export interface Objects {
  /**
   * Keeps the bytes of an announced object.
   *
   * @returns false if they do not hash to the id or the run has not announced
   * it; true also when the bytes were there.
   * @throws ConnectError FailedPrecondition if the bytes are no object, and as
   * for any run that is not running.
   */
  put(runId: bigint, objectId: string, content: Uint8Array): Promise<boolean>;
  /**
   * Finds an object of a run; undefined if the run has not announced it.
   *
   * @throws ConnectError as for any run that is not running.
   */
  get(runId: bigint, objectId: string): Promise<FoundObject | undefined>;
  /**
   * Takes an object and what it alone holds from a run. Unknown objects and
   * those held by others of the run stay.
   *
   * @throws ConnectError as for any run that is not running.
   */
  release(runId: bigint, objectId: string): Promise<void>;
}

/** Creates the part of the state that keeps objects. */
export function createObjectState(core: StateCore): Objects {
  return {
    async put(runId, objectId, content) {
      const object = await checkObject(objectId, content).catch(async (reason) => {
        // What is true of the run itself is told first.
        await assertRunning(core, runId);
        throw reason;
      });
      if (object === undefined) {
        await assertRunning(core, runId);
        return false;
      }
      return transact(core, (tx) => putObject(tx, runId, object));
    },
    get: (runId, objectId) =>
      transact(core, async (tx) => {
        await holdRunning(tx, runId);
        return findObject(tx, toSqlInteger(runId), objectId);
      }),
    release: (runId, objectId) =>
      transact(core, async (tx) => {
        await holdRunning(tx, runId);
        await releaseObjects(tx, toSqlInteger(runId), [objectId]);
      }),
  };
}

/**
 * Returns the children that an object's bytes name. Checks their structure, not the id.
 *
 * @throws ConnectError FailedPrecondition if they have none.
 */
export function childIdsOf(content: Uint8Array, objectId: string): readonly string[] {
  try {
    return parseObject(content, objectId).childIds;
  } catch (error) {
    if (error instanceof ObjectStructureError) {
      throw new ConnectError(error.message, Code.FailedPrecondition);
    }
    throw error;
  }
}

/** An object whose bytes have been checked. */
interface CheckedObject {
  readonly objectId: string;
  readonly content: Uint8Array;
  readonly childIds: readonly string[];
}

/** Checks bytes, which takes time and needs no transaction; undefined if they do not hash to the id. */
async function checkObject(
  objectId: string,
  content: Uint8Array,
): Promise<CheckedObject | undefined> {
  return objectIdOf(content, () => createHash("sha256")) === objectId
    ? { objectId, content, childIds: childIdsOf(content, objectId) }
    : undefined;
}

async function putObject(
  tx: StateTransaction,
  runId: bigint,
  { objectId, content, childIds }: CheckedObject,
): Promise<boolean> {
  await holdRunning(tx, runId);
  const id = toSqlInteger(runId);
  await assertHonest(tx, id, objectId, content);
  if (await markAvailable(tx, id, objectId)) {
    await setChildren(tx, id, objectId, childIds);
    await keepContent(tx, objectId, content);
    return true;
  }
  return hasObject(tx, id, objectId);
}

/** Makes an announced object available to its running run; false if it is that already, or not announced. */
async function markAvailable(
  tx: StateTransaction,
  runId: SqlUint64,
  objectId: string,
): Promise<boolean> {
  const { numAffectedRows = 0n } = await makeAvailable(tx, { runId, objectId });
  return numAffectedRows > 0n;
}

const makeAvailable = hotStatement<StateTables, { runId: SqlUint64; objectId: string }>()(
  (query, value) =>
    query
      .updateTable("run_object")
      .set({ is_available: 1n })
      .where("run_id", "=", value("runId"))
      .where("object_id", "=", value("objectId"))
      .where("is_available", "=", 0n)
      .where(({ exists }) => exists(runningRun(query, value("runId")).select("run.run_id"))),
);

/** Adds the bytes, or one more run that has them. */
export async function keepContent(
  tx: StateTransaction,
  objectId: string,
  content: Uint8Array,
): Promise<void> {
  await addHolder(tx, { objectId });
  for (const piece of piecesOf(content, tx.database.engine)) {
    const { numAffectedRows = 0n } = await addPiece(tx, { objectId, ...piece });
    if (numAffectedRows === 0n) {
      // All of it is there, and may have been cut at other places.
      return;
    }
  }
}

const addHolder = hotStatement<StateTables, { objectId: string }>()((query, value) =>
  query
    .insertInto("object")
    .values({ object_id: value("objectId"), holders: 1n })
    .onConflict(oneMoreHolder),
);

const addPiece = hotStatement<
  StateTables,
  { objectId: string; start: bigint; piece: Uint8Array }
>()((query, value) =>
  query
    .insertInto("object_content")
    .values({ object_id: value("objectId"), start: value("start"), piece: value("piece") })
    .onConflict((conflict) => conflict.columns(["object_id", "start"]).doNothing()),
);

function oneMoreHolder(conflict: OnConflictBuilder<StateTables, "object">) {
  return conflict
    .column("object_id")
    .doUpdateSet(({ eb, ref }) => ({ holders: eb(ref("object.holders"), "+", 1n) }));
}

/** Finds an object that a run announced; its content is undefined until the run has pushed it. */
export async function findObject(
  tx: StateTransaction,
  runId: SqlUint64,
  objectId: string,
): Promise<FoundObject | undefined> {
  const content = await readLargeBytes(async (from) => {
    const start = BigInt(from - 1);
    const { rows } =
      start === 0n
        ? await readFirstPiece(tx, { runId, objectId })
        : await readPiece(tx, { objectId, start });
    return rows[0];
  });
  return content === undefined ? undefined : { content: content ?? undefined };
}

const readFirstPiece = hotStatement<StateTables, { runId: SqlUint64; objectId: string }>()(
  (query, value) =>
    query
      .selectFrom("run_object")
      .leftJoin("object_content", (join) =>
        join
          .onRef("object_content.object_id", "=", "run_object.object_id")
          .on("object_content.start", "=", 0n)
          .on("run_object.is_available", "=", 1n),
      )
      .select(({ selectFrom }) => [
        "object_content.piece",
        selectFrom("object_content as all_of_it")
          .select(sql<bigint>`sum(length(all_of_it.piece))`.as("size"))
          .whereRef("all_of_it.object_id", "=", "run_object.object_id")
          .as("size"),
      ])
      .where("run_object.run_id", "=", value("runId"))
      .where("run_object.object_id", "=", value("objectId")),
);

const readPiece = hotStatement<StateTables, { objectId: string; start: bigint }>()((query, value) =>
  query
    .selectFrom("object_content")
    .select(["piece", sql<null>`null`.as("size")])
    .where("object_id", "=", value("objectId"))
    .where("start", "=", value("start")),
);

/** An object that the SuperLink makes itself; it has no children. */
export interface OwnObject {
  readonly objectId: string;
  readonly content: Uint8Array;
}

/**
 * Announces objects of the SuperLink's own and makes them available, for a
 * running run that the transaction holds and that does not have them.
 */
export async function addOwnObjects(
  tx: StateTransaction,
  runId: SqlUint64,
  own: readonly OwnObject[],
): Promise<void> {
  for (const batch of batches(own)) {
    await tx.query
      .insertInto("run_object")
      .values(
        batch.map(({ objectId }) => ({ run_id: runId, object_id: objectId, is_available: 1n })),
      )
      .execute();
    await tx.query
      .insertInto("object")
      .values(batch.map(({ objectId }) => ({ object_id: objectId, holders: 1n })))
      .onConflict(oneMoreHolder)
      .execute();
    await tx.query
      .insertInto("object_content")
      .values(
        batch.flatMap(({ objectId, content }) =>
          [...piecesOf(content, tx.database.engine)].map(({ start, piece }) => ({
            ...{ object_id: objectId, start, piece },
          })),
        ),
      )
      .onConflict((conflict) => conflict.columns(["object_id", "start"]).doNothing())
      .execute();
  }
}

/** Tells whether a run has announced an object, and still has it. */
export async function hasObject(
  tx: StateTransaction,
  runId: SqlUint64,
  objectId: string,
): Promise<boolean> {
  return (await isAvailable(tx, runId, objectId)) !== undefined;
}

/** Tells whether a run has the bytes of an object; undefined if it has not announced it. */
export async function isAvailable(
  tx: StateTransaction,
  runId: SqlUint64,
  objectId: string,
): Promise<boolean | undefined> {
  const row = await tx.query
    .selectFrom("run_object")
    .select("is_available")
    .where("run_id", "=", runId)
    .where("object_id", "=", objectId)
    .executeTakeFirst();
  return row && row.is_available === 1n;
}
