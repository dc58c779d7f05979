import fc from "fast-check";
import { expect, test } from "vitest";
import { fromSqlInteger, openSqlite, toSqlInteger } from "../../src/authority/index.ts";
import type { SqlUint64 } from "../../src/authority/sql-integer.ts";

interface Tables {
  readonly id: { readonly value: SqlUint64 };
}

test("every unsigned integer of 64 bits survives being stored", async () => {
  const database = await openSqlite<Tables>({ path: ":memory:" });
  await database.query.schema.createTable("id").addColumn("value", "bigint").execute();
  const uint64 = fc.oneof(
    fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    fc.constantFrom(0n, 2n ** 53n + 1n, 2n ** 63n - 1n, 2n ** 63n, 2n ** 64n - 1n),
  );
  await fc.assert(
    fc.asyncProperty(uint64, async (id) => {
      await database.query.deleteFrom("id").execute();
      await database.query
        .insertInto("id")
        .values({ value: toSqlInteger(id) })
        .execute();
      const row = await database.query
        .selectFrom("id")
        .selectAll()
        .where("value", "=", toSqlInteger(id))
        .executeTakeFirstOrThrow();
      expect(fromSqlInteger(row.value)).toBe(id);
    }),
  );
  await database.close();
});

test("the upper half of the range is stored as negative numbers", () => {
  expect(toSqlInteger(2n ** 64n - 1n)).toBe(-1n);
  expect(toSqlInteger(2n ** 63n)).toBe(-(2n ** 63n));
});

test.each([-1n, 2n ** 64n])("refuses %s, which is no unsigned integer of 64 bits", (value) => {
  expect(() => toSqlInteger(value)).toThrow(
    new RangeError("an id must be an unsigned integer of 64 bits"),
  );
});
