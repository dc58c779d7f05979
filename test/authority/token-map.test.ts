import { sql } from "kysely";
import { expect, test } from "vitest";
import { createAuthority, migrate, openSqlite } from "../../src/authority/index.ts";
import { digestOfIssued } from "../../src/authority/issued-digest.ts";
import { fromSqlInteger } from "../../src/authority/sql-integer.ts";
import { tokenMapOf } from "../../src/authority/token-map.ts";
import { type TokenTables, tokenSchema } from "../../src/authority/token-table.ts";
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

test("a map has all tokens of the table, however many and whatever their runs' ids", async () => {
  const database = await openSqlite<TokenTables>({ path: ":memory:" });
  await migrate(database, tokenSchema);
  // Of each sign, as SQL has the ids, more than are read at once.
  await sql`
    with recursive run (id) as (select -12000 union all select id + 1 from run where id < 12000)
    insert into token (run_id, digest, active_until_ms)
    select id, lower(hex(randomblob(32))), id + 12000 from run
  `.execute(database.query);
  const map = await tokenMapOf(database);
  const rows = await database.query.selectFrom("token").selectAll().execute();
  expect(rows).toHaveLength(24_001);
  const wrong = rows.filter((row) => {
    const found = map.find(row.digest);
    return (
      found?.runId !== fromSqlInteger(row.run_id) ||
      found.activeUntilMs !== Number(row.active_until_ms)
    );
  });
  expect(wrong).toEqual([]);
  await database.close();
});

test("only what is as long as an issued token has a digest", () => {
  const token = "0".repeat(256);
  expect(digestOfIssued(token)).toBe(digestToken(parseToken(token)));
  expect(digestOfIssued("0".repeat(255))).toBeUndefined();
  expect(digestOfIssued("0".repeat(257))).toBeUndefined();
});
