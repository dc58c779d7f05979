import { sql } from "kysely";
import { describe, expect, test } from "vitest";
import { openSqlite, SqlError } from "../../src/authority/index.ts";
import { toSqlError } from "../../src/authority/sqlite-errors.ts";

async function openNotes() {
  const database = await openSqlite<{ note: { id: bigint; text: string } }>({ path: ":memory:" });
  await sql`CREATE TABLE note (id INTEGER PRIMARY KEY, text TEXT NOT NULL)`.execute(database.query);
  return database;
}

describe("what SQLite refuses", () => {
  test("a full database is unavailable, and is written again when there is space", async () => {
    const database = await openNotes();
    const write = (id: bigint) =>
      database.query
        .insertInto("note")
        .values({ id, text: "x".repeat(100_000) })
        .execute();
    await sql`PRAGMA max_page_count = 10`.execute(database.query);
    const refused = await write(1n).catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(SqlError);
    expect(refused).toMatchObject({
      reason: "unavailable",
      message: "the database is unavailable: database or disk is full",
    });
    await sql`PRAGMA max_page_count = 1000`.execute(database.query);
    await expect(write(1n)).resolves.toHaveLength(1);
    await database.close();
  });

  test("a constraint is refused, and the error does not show the values", async () => {
    const database = await openNotes();
    const write = () =>
      database.query.insertInto("note").values({ id: 1n, text: "a secret" }).execute();
    await write();
    const refused = await write().catch((error: unknown) => error);
    expect(refused).toMatchObject({
      reason: "refused",
      message: "UNIQUE constraint failed: note.id",
    });
    expect(JSON.stringify(refused, Object.getOwnPropertyNames(refused))).not.toContain("secret");
    await database.close();
  });

  const withCode = (errcode: unknown) => Object.assign(new Error("busy"), { errcode });

  test.each([5, 6, 7, 8, 10, 13, 14, 5 | (1 << 8), 10 | (13 << 8)])(
    "code %i may pass: the database is unavailable",
    (code) => {
      const error = toSqlError(withCode(code));
      expect(error).toBeInstanceOf(SqlError);
      expect(error).toMatchObject({
        name: "SqlError",
        reason: "unavailable",
        message: "the database is unavailable: busy",
        sqlState: undefined,
      });
    },
  );

  test.each([1, 4, 9, 11, 12, 15, 19, 19 | (5 << 8)])("code %i is a refusal", (code) => {
    expect(toSqlError(withCode(code))).toMatchObject({ reason: "refused", message: "busy" });
  });

  test.each<[unknown]>([
    [new Error("no code")],
    [withCode("5")],
    [{ errcode: 5, message: "no error" }],
    [undefined],
    ["5"],
  ])("%o is none of SQLite's, and stays as it is", (error) => {
    expect(toSqlError(error)).toBe(error);
  });
});
