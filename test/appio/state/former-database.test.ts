import { expect, it } from "vitest";
import { objectTree } from "../../../src/appio/objects/object-tree.ts";
import { pieceBytes } from "../../../src/appio/state/large-bytes.ts";
import { stateSchema } from "../../../src/appio/state/schema.ts";
import type { StateTables } from "../../../src/appio/state/tables.ts";
import { migrate } from "../../../src/authority/migrate.ts";
import { toSqlInteger } from "../../../src/authority/sql-integer.ts";
import { createLastingStore } from "../../store.ts";
import { announce, type TestObject, testObject } from "./announcing.ts";
import { createWorld } from "./world.ts";

/** The tables when each object had one row. */
type FormerTables = Omit<StateTables, "object_content"> & {
  readonly object_content: { readonly object_id: string; readonly content: Uint8Array };
};

it("keeps the objects of a database that had each in one row", async () => {
  const store = createLastingStore();
  const former = (await store.open()).withTables<FormerTables>();
  const { name, migrations } = stateSchema(former.engine);
  const steps = Object.entries(migrations).filter(([step]) => step < "0009_pieces");
  await migrate(former, { name, migrations: Object.fromEntries(steps) });
  const runId = 7n;
  const small = testObject("small");
  const large = testObject("large ".repeat(pieceBytes[former.engine] / 2));
  const unused = new Uint8Array();
  await former.query
    .insertInto("run")
    .values({
      ...{ run_id: toSqlInteger(runId), run_type: "serverapp", federation: "" },
      ...{ fab_id: "", fab_version: "", fab_hash: "", override_config: unused },
      ...{ federation_options: unused, pending_at: 1, starting_at: 2, running_at: 3 },
    })
    .execute();
  for (const { id, content } of [small, large]) {
    await announce(former, runId, objectTree(id));
    await former.query
      .updateTable("run_object")
      .set({ is_available: 1n })
      .where("object_id", "=", id)
      .execute();
    await former.query.insertInto("object").values({ object_id: id, holders: 1n }).execute();
    await former.query.insertInto("object_content").values({ object_id: id, content }).execute();
  }
  await former.close();

  await using world = await createWorld(store);
  const { database, state } = world;
  const { runId: other } = await world.runningRun();
  const has = async (run: bigint, { id, content }: TestObject) =>
    Buffer.compare((await state.objects.get(run, id))?.content ?? unused, content) === 0;
  for (const object of [small, large]) {
    const { id, content } = object;
    expect(await has(runId, object)).toBe(true);
    await announce(database, other, objectTree(id));
    expect(await state.objects.put(other, id, content)).toBe(true);
    expect(await has(other, object)).toBe(true);
    await state.objects.release(other, id);
    expect(await has(runId, object)).toBe(true);
    await state.objects.release(runId, id);
  }
  const { query } = database.withTables<StateTables>();
  expect(await query.selectFrom("object_content").select("object_id").execute()).toEqual([]);
});
