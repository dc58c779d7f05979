import { DatabaseSync } from "node:sqlite";
import { expect, test } from "vitest";
import { bindParameters, createStatementCache } from "../../src/authority/sqlite-statements.ts";

test("a statement is prepared once, unless others pushed it out", () => {
  const database = new DatabaseSync(":memory:");
  const statements = createStatementCache(database, 2);
  const one = statements.get("select 1");
  const two = statements.get("select 2");
  expect(statements.get("select 1")).toBe(one);
  statements.get("select 3");
  expect(statements.get("select 1")).toBe(one);
  expect(statements.get("select 2")).not.toBe(two);
  database.close();
});

test("whole numbers are bound as integers, and the rest as it is", () => {
  const bytes = new Uint8Array([1]);
  const given = [null, "a", 7n, 7, -0.5, 2 ** 53, Number.MAX_SAFE_INTEGER, bytes];
  expect(bindParameters(given)).toEqual([
    null,
    "a",
    7n,
    7n,
    -0.5,
    2 ** 53,
    BigInt(Number.MAX_SAFE_INTEGER),
    bytes,
  ]);
});

test.each<[unknown, string]>([
  [Number.NaN, "NaN"],
  [undefined, "undefined"],
  [true, "boolean"],
  [new Date(0), "object"],
  [["a secret"], "object"],
])("%s cannot be bound", (value, found) => {
  expect(() => bindParameters(["fine", value])).toThrow(
    new TypeError(
      `a SQL parameter must be a string, number, bigint, Uint8Array or null, not ${found}`,
    ),
  );
});
