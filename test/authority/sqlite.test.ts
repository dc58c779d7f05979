import { existsSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { Kysely } from "kysely";
import { sql } from "kysely";
import { describe, expect, test } from "vitest";
import type { AnySqlDatabase, SqliteOptions } from "../../src/authority/index.ts";
import { openSqlite } from "../../src/authority/index.ts";
import { startChild } from "./child.ts";
import { temporaryDirectory } from "./temporary-directory.ts";

interface Tables {
  readonly note: { readonly id: bigint; readonly text: string };
}

async function openNotes(options: SqliteOptions = { path: ":memory:" }) {
  const database = await openSqlite<Tables>(options);
  await database.query.schema
    .createTable("note")
    .ifNotExists()
    .addColumn("id", "bigint", (column) => column.primaryKey())
    .addColumn("text", "text", (column) => column.notNull())
    .execute();
  return database;
}

function write(query: Kysely<Tables>, id: bigint, text = "x") {
  return query.insertInto("note").values({ id, text }).execute();
}

async function idsOf(query: Kysely<Tables>): Promise<bigint[]> {
  const rows = await query.selectFrom("note").select("id").orderBy("id").execute();
  return rows.map(({ id }) => id);
}

async function pragmaOf(database: AnySqlDatabase, name: string): Promise<unknown> {
  const { query } = database.withTables();
  const { rows } = await sql<Record<string, unknown>>`pragma ${sql.raw(name)}`.execute(query);
  return Object.values(rows[0] ?? {})[0];
}

describe("openSqlite", () => {
  test.each(["exclusive", "shared"] as const)("sets the pragmas of a %s file", async (lock) => {
    const database = await openSqlite({ path: join(temporaryDirectory(), "state.db"), lock });
    const pragma = (name: string) => pragmaOf(database, name);
    expect(await pragma("journal_mode")).toBe("wal");
    expect(await pragma("synchronous")).toBe(1n);
    expect(await pragma("foreign_keys")).toBe(1n);
    expect(await pragma("busy_timeout")).toBe(5_000n);
    expect(await pragma("cache_size")).toBe(-65_536n);
    expect(await pragma("page_size")).toBe(8_192n);
    expect(await pragma("wal_autocheckpoint")).toBe(500n);
    expect(await pragma("locking_mode")).toBe(lock === "exclusive" ? "exclusive" : "normal");
    expect([database.engine, database.isOpen]).toEqual(["sqlite", true]);
    expect(database.now).toBe(Date.now);
    expect(database.exclusive).toBe(lock === "exclusive");
    await database.close();
  });

  test("keeps the pages of a file that is there, and carries its log over as early", async () => {
    const path = join(temporaryDirectory(), "former.db");
    const former = new DatabaseSync(path);
    former.exec("PRAGMA page_size = 4096; CREATE TABLE note (id bigint, text text)");
    former.close();
    const database = await openSqlite<Tables>({ path });
    expect(await pragmaOf(database, "page_size")).toBe(4_096n);
    expect(await pragmaOf(database, "wal_autocheckpoint")).toBe(1_000n);
    await write(database.query, 1n);
    expect(await idsOf(database.query)).toEqual([1n]);
    await database.close();
  });

  test.each([
    [{ path: "" }, '"path" must be the path of a file, or ":memory:"'],
    [{ path: 7 }, '"path" must be the path of a file, or ":memory:"'],
    [{ path: ":memory:", lock: "none" }, '"lock" must be "exclusive" or "shared"'],
  ])("refuses %j", async (options, message) => {
    // A caller without types can pass anything.
    await expect(openSqlite(options as unknown as SqliteOptions)).rejects.toThrow(
      new TypeError(message),
    );
  });

  test("names the file that is no database", async () => {
    const path = join(temporaryDirectory(), "notes.txt");
    writeFileSync(path, "this is no database, but it is long enough to look at ".repeat(40));
    for (const lock of ["exclusive", "shared"] as const) {
      await expect(openSqlite({ path, lock })).rejects.toMatchObject({
        message: `cannot open the database ${path}: file is not a database`,
        cause: expect.objectContaining({ errcode: 26 }),
      });
    }
  });

  test("names the file whose folder does not exist", async () => {
    const path = join(temporaryDirectory(), "nowhere", "state.db");
    await expect(openSqlite({ path })).rejects.toThrow(
      `cannot open the database ${path}: ENOENT: no such file or directory`,
    );
  });

  test("lets nobody else read a file that it creates", async () => {
    const path = join(temporaryDirectory(), "state.db");
    const database = await openSqlite<{ note: { text: string } }>({ path });
    await database.query.schema.createTable("note").addColumn("text", "text").execute();
    const files = readdirSync(dirname(path)).filter((name) => name.startsWith("state.db"));
    expect(files.length).toBeGreaterThan(1);
    expect(files.map((name) => statSync(join(dirname(path), name)).mode & 0o077)).toEqual(
      files.map(() => 0),
    );
    await database.close();
  });

  test("refuses a file that another process has, and has it when that one crashed", async () => {
    const path = join(temporaryDirectory(), "state.db");
    const holder = startChild<never, string>("holder.ts", path);
    await holder.hear();
    const refusal = `cannot open the database ${path}: another process has it open`;
    await expect(openSqlite({ path })).rejects.toThrow(refusal);
    await holder.kill();
    const database = await openSqlite({ path });
    await database.close();
  });

  test("refuses a file that is open as shared, and one that is open twice here", async () => {
    const path = join(temporaryDirectory(), "state.db");
    const refusal = new Error(
      `cannot open the database ${path}: another process has it open (a file belongs to one, unless all open it as shared)`,
    );
    const shared = await openSqlite({ path, lock: "shared" });
    const sharedToo = await openSqlite({ path, lock: "shared" });
    await expect(openSqlite({ path })).rejects.toThrow(refusal);
    await shared.close();
    await sharedToo.close();
    const exclusive = await openSqlite({ path });
    await expect(openSqlite({ path })).rejects.toThrow(refusal);
    await exclusive.close();
  });

  test("waits for a process that is just writing a shared file", async () => {
    const path = join(temporaryDirectory(), "state.db");
    const other = new DatabaseSync(path);
    other.exec("create table note (id bigint); begin exclusive; insert into note values (1)");
    const opening = openSqlite<Tables>({ path, lock: "shared" });
    other.exec("commit");
    other.close();
    const database = await opening;
    expect(await idsOf(database.query)).toEqual([1n]);
    await database.close();
  });

  test("keeps a database in memory out of the file system", async () => {
    const before = existsSync(":memory:");
    const database = await openNotes();
    expect([before, existsSync(":memory:")]).toEqual([false, false]);
    await database.close();
  });

  test("says which database is closed", async () => {
    const database = await openNotes();
    await database.close();
    await expect(database.query.selectFrom("note").selectAll().execute()).rejects.toThrow(
      new Error("the database :memory: is closed"),
    );
    expect(database.isOpen).toBe(false);
  });

  test("keeps anything else from reading or writing an exclusive file", async () => {
    const path = join(temporaryDirectory(), "state.db");
    const database = await openNotes({ path });
    const other = new DatabaseSync(path);
    expect(() => other.prepare("select * from note").all()).toThrow("database is locked");
    expect(() => other.exec("insert into note values (1, 'x')")).toThrow("database is locked");
    other.close();
    await database.close();
  });
});

describe("transaction", () => {
  test("holds the write lock from its start", async () => {
    const path = join(temporaryDirectory(), "state.db");
    const database = await openNotes({ path, lock: "shared" });
    const other = new DatabaseSync(path);
    await database.transaction(async () => {
      expect(() => other.exec("insert into note values (1, 'x')")).toThrow("database is locked");
    });
    other.exec("insert into note values (1, 'x')");
    other.close();
    await database.close();
  });

  test("is alone: others and single statements wait, in the order of their coming", async () => {
    const database = await openNotes();
    const order: string[] = [];
    const first = database.transaction(async ({ query }) => {
      await write(query, 1n);
      order.push("first has written");
      await new Promise((resolve) => setImmediate(resolve));
      await write(query, 2n);
      throw new Error("rolled back");
    });
    const single = write(database.query, 3n).then(() => order.push("single"));
    const second = database.transaction(async ({ query }) => {
      expect(await idsOf(query)).toEqual([3n]);
      order.push("second");
    });
    await expect(first).rejects.toThrow("rolled back");
    await Promise.all([single, second]);
    expect(order).toEqual(["first has written", "single", "second"]);
    expect(await idsOf(database.query)).toEqual([3n]);
    await database.close();
  });

  test("is over when reading its rows failed", async () => {
    const database = await openNotes();
    const failed = database.transaction(async ({ query }) => {
      await write(query, 1n);
      const rows = query.selectFrom("note").select(sql`json(text)`.as("json")).stream();
      await expect(rows.next()).rejects.toThrow("malformed JSON");
    });
    await expect(failed).rejects.toThrow("the transaction has failed");
    expect(await idsOf(database.query)).toEqual([]);
    await database.close();
  });

  test("leaves nothing behind when SQLite itself ended it", async () => {
    const database = await openNotes();
    const failed = database.transaction(async ({ query }) => {
      await write(query, 1n);
      await sql`insert or rollback into note values (1, 'y')`.execute(query).catch(() => {});
      await write(query, 2n).catch(() => {});
    });
    await expect(failed).rejects.toThrow("the transaction has failed");
    expect(await idsOf(database.query)).toEqual([]);
    await write(database.query, 3n);
    await database.close();
  });
});
