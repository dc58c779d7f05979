import { DatabaseSync } from "node:sqlite";
import { expect, test } from "vitest";
import { createStatementCache } from "../../src/authority/sqlite-statements.ts";

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
