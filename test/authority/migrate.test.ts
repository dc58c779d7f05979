import { describe, expect, test } from "vitest";
import type { SqlSchema } from "../../src/authority/index.ts";
import { migrate } from "../../src/authority/index.ts";
import { createLastingStore, createStore } from "../store.ts";

interface Tables {
  readonly fruit: { readonly name: string; readonly colour: string };
}

const first: SqlSchema["migrations"] = {
  "0001_fruit": {
    async up(query) {
      await query.schema.createTable("fruit").addColumn("name", "text").execute();
    },
  },
};
const both: SqlSchema["migrations"] = {
  ...first,
  "0002_colour": {
    async up(query) {
      await query.schema
        .alterTable("fruit")
        .addColumn("colour", "text", (column) => column.notNull().defaultTo("green"))
        .execute();
    },
  },
};

describe("migrate", () => {
  test("takes the steps that a database lacks, once", async () => {
    const store = createLastingStore();
    const before = (await store.open()).withTables<{ fruit: { name: string } }>();
    await migrate(before, { name: "garden", migrations: first });
    await before.query.insertInto("fruit").values({ name: "pear" }).execute();
    await before.close();

    const after = (await store.open()).withTables<Tables>();
    await migrate(after, { name: "garden", migrations: both });
    await migrate(after, { name: "garden", migrations: both });
    expect(await after.query.selectFrom("fruit").selectAll().execute()).toEqual([
      { name: "pear", colour: "green" },
    ]);
    await after.close();
  });

  test("keeps the steps of two schemas of one database apart", async () => {
    const database = (await createStore().open()).withTables<Tables>();
    await migrate(database, { name: "garden", migrations: both });
    await migrate(database, {
      name: "cellar",
      migrations: {
        "0000_shelf": {
          async up(query) {
            await query.schema.createTable("shelf").addColumn("name", "text").execute();
          },
        },
      },
    });
    await migrate(database, { name: "garden", migrations: both });
    const tables = await database.query.introspection.getTables({ withInternalKyselyTables: true });
    expect(tables.map(({ name }) => name).sort()).toEqual([
      "cellar_migration",
      "cellar_migration_lock",
      "fruit",
      "garden_migration",
      "garden_migration_lock",
      "shelf",
    ]);
    await database.close();
  });

  test("changes nothing when a step fails, and throws that step's error", async () => {
    const database = (await createStore().open()).withTables<Tables>();
    const failing: SqlSchema = {
      name: "garden",
      migrations: {
        ...first,
        "0002_frost": {
          async up() {
            throw new Error("frost");
          },
        },
      },
    };
    await expect(migrate(database, failing)).rejects.toThrow("frost");
    await expect(database.query.selectFrom("fruit").selectAll().execute()).rejects.toThrow(
      /no such table: fruit|relation "fruit" does not exist/,
    );
    await database.close();
  });

  test("refuses a database that a later version has changed", async () => {
    const database = (await createStore().open()).withTables<Tables>();
    await migrate(database, { name: "garden", migrations: both });
    await expect(migrate(database, { name: "garden", migrations: first })).rejects.toThrow(
      "0002_colour is missing",
    );
    await database.close();
  });
});
