import { sql } from "kysely";
import { expect, it } from "vitest";
import { objectTree } from "../../../src/appio/objects/object-tree.ts";
import { pieceBytes } from "../../../src/appio/state/large-bytes.ts";
import type { StateTables } from "../../../src/appio/state/tables.ts";
import type { AnySqlDatabase } from "../../../src/authority/sql-database.ts";
import { announce, testObject } from "./announcing.ts";
import { createWorld } from "./world.ts";

/** An object of a little more than two pieces. */
function largeObject(database: AnySqlDatabase, text: string) {
  const length = 2 * pieceBytes[database.engine] + 10;
  return testObject(text.repeat(Math.ceil(length / text.length)).slice(0, length));
}

/** Where the pieces of an object begin, and how long they are. */
async function piecesOf(database: AnySqlDatabase, objectId: string): Promise<number[][]> {
  const rows = await database
    .withTables<StateTables>()
    .query.selectFrom("object_content")
    .select(["start", sql<bigint>`length(piece)`.as("length")])
    .where("object_id", "=", objectId)
    .orderBy("start")
    .execute();
  return rows.map(({ start, length }) => [Number(start), Number(length)]);
}

it("keeps an object in pieces, once for all runs, and drops all of them", async () => {
  await using world = await createWorld();
  const { database, state } = world;
  const most = pieceBytes[database.engine];
  const { id, content } = largeObject(database, "piece ");
  const kept = [
    [0, most],
    [most, most],
    [2 * most, content.length - 2 * most],
  ];
  const { runId } = await world.runningRun();
  const { runId: other } = await world.runningRun();
  for (const run of [runId, other]) {
    await announce(database, run, objectTree(id));
    expect(await state.objects.put(run, id, content)).toBe(true);
    expect(await piecesOf(database, id)).toEqual(kept);
  }
  await state.objects.release(runId, id);
  expect(await state.objects.get(runId, id)).toBeUndefined();
  const found = (await state.objects.get(other, id))?.content ?? new Uint8Array();
  expect(Buffer.compare(found, content)).toBe(0);
  await state.objects.release(other, id);
  expect(await piecesOf(database, id)).toEqual([]);
});

it("finds no object of which a piece is gone, and does not look for it when it is pushed again", async () => {
  await using world = await createWorld();
  const { database, state } = world;
  const { id, content } = largeObject(database, "gone ");
  const { runId } = await world.runningRun();
  await announce(database, runId, objectTree(id));
  await state.objects.put(runId, id, content);
  await database
    .withTables<StateTables>()
    .query.deleteFrom("object_content")
    .where("start", "=", BigInt(pieceBytes[database.engine]))
    .execute();
  expect(await state.objects.get(runId, id)).toBeUndefined();
  expect(await state.objects.put(runId, id, content)).toBe(true);
});
