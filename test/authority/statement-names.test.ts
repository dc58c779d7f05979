import { expect, test } from "vitest";
import { createStatementNames } from "../../src/authority/statement-names.ts";

test("the first statements get names, each always the same one", () => {
  const names = createStatementNames(2);
  expect(names.nameOf("select 1", 0)).toBe("countersign_0");
  expect(names.nameOf("select 2", 0)).toBe("countersign_1");
  expect(names.nameOf("select 3", 0)).toBeUndefined();
  expect(names.nameOf("select 1", 0)).toBe("countersign_0");
  expect(names.nameOf("select 2", 0)).toBe("countersign_1");
});

test("statements with long lists of parameters get none, and take no place", () => {
  const names = createStatementNames(1);
  expect(names.nameOf("in (25)", 25)).toBeUndefined();
  expect(names.nameOf("in (24)", 24)).toBe("countersign_0");
});
