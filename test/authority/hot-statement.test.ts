import type { Generated } from "kysely";
import { expect, test } from "vitest";
import { hotStatement } from "../../src/authority/hot-statement.ts";
import type { SqlDatabase } from "../../src/authority/sql-database.ts";
import { createStore } from "../store.ts";

interface Tables {
  note: { id: Generated<bigint>; name: string; size: bigint };
}

async function openNotes(): Promise<SqlDatabase<Tables>> {
  const database = (await createStore().open()).withTables<Tables>();
  await database.query.schema
    .createTable("note")
    .addColumn("id", "bigint", (column) => column.primaryKey())
    .addColumn("name", "text")
    .addColumn("size", "bigint")
    .execute();
  return database;
}

test("a hot statement is built once, and run with each call's values", async () => {
  const database = await openNotes();
  let built = 0;
  const add = hotStatement<Tables, { id: bigint; name: string }>()((query, value) => {
    built += 1;
    // A value used twice, and a constant between them.
    return query
      .insertInto("note")
      .values({ id: value("id"), name: value("name"), size: 7n })
      .onConflict((conflict) => conflict.column("id").doUpdateSet({ name: value("name") }));
  });
  const find = hotStatement<Tables, { name: string }>()((query, value) =>
    query.selectFrom("note").selectAll().where("name", "=", value("name")),
  );
  await database.transaction(async (tx) => {
    expect((await add(tx, { id: 1n, name: "a" })).numAffectedRows).toBe(1n);
    await add(tx, { id: 2n, name: "b" });
  });
  await database.transaction(async (tx) => {
    await add(tx, { id: 1n, name: "c" });
    expect((await find(tx, { name: "a" })).rows).toEqual([]);
    expect((await find(tx, { name: "c" })).rows).toEqual([{ id: 1n, name: "c", size: 7n }]);
    expect((await find(tx, { name: "b" })).rows).toEqual([{ id: 2n, name: "b", size: 7n }]);
  });
  expect(built).toBe(1);
  await database.close();
});

test("a hot statement serves several databases, and none of its values stays with it", async () => {
  const find = hotStatement<Tables, { size: bigint }>()((query, value) =>
    query.selectFrom("note").select("name").where("size", ">=", value("size")),
  );
  for (const name of ["first", "second"]) {
    const database = await openNotes();
    await database.query.insertInto("note").values({ id: 1n, name, size: 1n }).execute();
    await database.transaction(async (tx) => {
      expect((await find(tx, { size: 2n })).rows).toEqual([]);
      expect((await find(tx, { size: 1n })).rows).toEqual([{ name }]);
    });
    await database.close();
  }
});
