import { expect, test } from "vitest";
import { createAuthority, migrate, openSqlite } from "../../src/authority/index.ts";
import { digestOfIssued } from "../../src/authority/issued-digest.ts";
import { tokenMapOf } from "../../src/authority/token-map.ts";
import { tokenSchema } from "../../src/authority/token-table.ts";
import { digestToken, parseToken } from "../../src/policy/token.ts";

test("a map that could not be read is read again when it is asked for again", async () => {
  const database = await openSqlite({ path: ":memory:" });
  await expect(tokenMapOf(database)).rejects.toThrow("no such table: token");
  await migrate(database, tokenSchema);
  const map = await tokenMapOf(database);
  const authority = await createAuthority({ database });
  const token = await authority.issue(7n);
  expect(map.find(digestToken(token ?? parseToken("none")))?.runId).toBe(7n);
  expect(await tokenMapOf(database)).toBe(map);
  await database.close();
});

test("only what is as long as an issued token has a digest", () => {
  const token = "0".repeat(256);
  expect(digestOfIssued(token)).toBe(digestToken(parseToken(token)));
  expect(digestOfIssued("0".repeat(255))).toBeUndefined();
  expect(digestOfIssued("0".repeat(257))).toBeUndefined();
});
