import type { Kysely } from "kysely";
import { sql } from "kysely";
import { describe, expect, test } from "vitest";
import { createLastingStore, createStore } from "../store.ts";

interface Tables {
  readonly note: { readonly id: bigint; readonly text: string };
}

async function openNotes(store = createStore()) {
  const database = (await store.open()).withTables<Tables>();
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

describe("values", () => {
  test("integers are read as bigints, without rounding", async () => {
    const database = await openNotes();
    const id = 2n ** 53n + 1n;
    await write(database.query, id);
    expect(await idsOf(database.query)).toEqual([id]);
    const { rows } = await sql`
      select 7 / cast(${2} as integer) as quotient, cast(${0.5} as double precision) as half
    `.execute(database.query);
    expect(rows).toEqual([{ quotient: 3n, half: 0.5 }]);
    await database.close();
  });

  test("statements without rows tell how many rows they changed", async () => {
    const database = await openNotes();
    await write(database.query, 1n);
    const ignored = await database.query
      .insertInto("note")
      .values({ id: 1n, text: "y" })
      .onConflict((conflict) => conflict.doNothing())
      .executeTakeFirstOrThrow();
    expect(ignored.numInsertedOrUpdatedRows).toBe(0n);
    const deleted = await database.query.deleteFrom("note").executeTakeFirstOrThrow();
    expect(deleted.numDeletedRows).toBe(1n);
    await database.close();
  });

  test.each([
    [true, "boolean"],
    [undefined, "undefined"],
    [Number.NaN, "NaN"],
    [new Date(0), "object"],
  ])("%s is refused as a parameter, by its type", async (value, type) => {
    const database = await openNotes();
    await expect(sql`select ${value}`.execute(database.query)).rejects.toThrow(
      new TypeError(
        `a SQL parameter must be a string, number, bigint, Uint8Array or null, not ${type}`,
      ),
    );
    await database.close();
  });

  test("rows can be streamed", async () => {
    const database = await openNotes();
    await write(database.query, 1n);
    await write(database.query, 2n);
    const read: bigint[] = [];
    for await (const { id } of database.query.selectFrom("note").selectAll().stream()) {
      read.push(id);
    }
    expect(read).toEqual([1n, 2n]);
    await database.close();
  });
});

describe("transaction", () => {
  test("commits what its work did", async () => {
    const database = await openNotes();
    const result = await database.transaction(async ({ query }) => {
      await write(query, 1n);
      return "done";
    });
    expect(result).toBe("done");
    expect(await idsOf(database.query)).toEqual([1n]);
    await database.close();
  });

  test("rolls back when its work rejects, with the same error", async () => {
    const database = await openNotes();
    const error = new Error("changed my mind");
    const failed = database.transaction(async ({ query }) => {
      await write(query, 1n);
      throw error;
    });
    await expect(failed).rejects.toBe(error);
    expect(await idsOf(database.query)).toEqual([]);
    await database.close();
  });

  test("is over when one of its statements failed, even if its work goes on", async () => {
    const database = await openNotes();
    const failed = database.transaction(async ({ query }) => {
      await write(query, 1n);
      await expect(write(query, 1n)).rejects.toThrow(
        /UNIQUE constraint failed: note.id|duplicate key value/,
      );
      await expect(write(query, 2n)).rejects.toThrow("the transaction has failed");
      const rows = query.selectFrom("note").selectAll().stream();
      await expect(rows.next()).rejects.toThrow("the transaction has failed");
    });
    await expect(failed).rejects.toThrow(
      "the transaction has failed: one of its statements was refused",
    );
    expect(await idsOf(database.query)).toEqual([]);
    await database.close();
  });

  test("refuses a statement or an action that comes after its end", async () => {
    const database = await openNotes();
    const tx = await database.transaction(async (tx) => tx);
    await expect(write(tx.query, 1n)).rejects.toThrow("Transaction is already committed");
    expect(() => tx.afterCommit(() => {})).toThrow(
      new Error("the transaction is over: the action came too late"),
    );
    const connection = await database.query.connection().execute(async (one) => one);
    await expect(write(connection, 1n)).rejects.toThrow("the statement came too late");
    expect(await idsOf(database.query)).toEqual([]);
    await database.close();
  });

  test("refuses what would wait for its own end", async () => {
    const database = await openNotes();
    const refusal = new Error(
      "inside a transaction, use its own query: this would wait for it to end",
    );
    await database.transaction(async () => {
      await expect(write(database.query, 1n)).rejects.toThrow(refusal);
      await expect(database.transaction(async () => {})).rejects.toThrow(refusal);
      await expect(database.close()).rejects.toThrow(refusal);
    });
    expect(await idsOf(database.query)).toEqual([]);
    await database.close();
  });
});

describe("tables", () => {
  test("of other types are of the same database and transaction", async () => {
    const database = await openNotes();
    expect(database.withTables()).toBe(database);
    await database.transaction(async (tx) => {
      expect(tx.database).toBe(database);
      expect(tx.withTables()).toBe(tx);
    });
    await database.close();
  });
});

describe("afterCommit", () => {
  test("acts in the turn of the commit, in order, before the transaction resolves", async () => {
    const database = await openNotes();
    const seen: string[] = [];
    await database.transaction(async (tx) => {
      tx.afterCommit(() => seen.push("first"));
      tx.afterCommit(() => seen.push("second"));
      await write(tx.query, 1n);
      expect(seen).toEqual([]);
    });
    expect(seen).toEqual(["first", "second"]);
    await database.close();
  });

  test("does nothing when the transaction was rolled back", async () => {
    const database = await openNotes();
    const seen: string[] = [];
    const failed = database.transaction(async (tx) => {
      tx.afterCommit(() => seen.push("never"));
      throw new Error("rolled back");
    });
    await expect(failed).rejects.toThrow("rolled back");
    await database.transaction(async () => {});
    expect(seen).toEqual([]);
    await database.close();
  });

  test("does nothing when the commit itself fails", async () => {
    const database = await openNotes();
    await sql`create table reply (note bigint references note (id) deferrable initially deferred)`.execute(
      database.query,
    );
    const seen: string[] = [];
    const failed = database.transaction(async (tx) => {
      tx.afterCommit(() => seen.push("never"));
      await sql`insert into reply values (1)`.execute(tx.query);
    });
    await expect(failed).rejects.toThrow(
      /FOREIGN KEY constraint failed|violates foreign key constraint/,
    );
    expect(seen).toEqual([]);
    await write(database.query, 1n);
    await database.close();
  });

  test("an action that throws neither stops the others nor undoes the commit", async () => {
    const database = await openNotes();
    const seen: string[] = [];
    const broken = new Error("broken action");
    const committed = database.transaction(async (tx) => {
      await write(tx.query, 1n);
      tx.afterCommit(() => {
        throw broken;
      });
      tx.afterCommit(() => seen.push("second"));
    });
    await expect(committed).rejects.toThrow(
      new AggregateError([broken], "the transaction was committed, but an action after it failed"),
    );
    expect(seen).toEqual(["second"]);
    expect(await idsOf(database.query)).toEqual([1n]);
    await database.close();
  });
});

describe("close", () => {
  test("waits for what came before and refuses what comes later", async () => {
    const store = createLastingStore();
    const database = await openNotes(store);
    const before = write(database.query, 1n);
    const closed = database.close();
    expect(database.isOpen).toBe(false);
    await expect(write(database.query, 2n)).rejects.toThrow("is closed");
    await Promise.all([before, closed, database.close()]);
    await expect(database.transaction(async () => {})).rejects.toThrow("is closed");

    const again = await openNotes(store);
    expect(await idsOf(again.query)).toEqual([1n]);
    await again.close();
  });
});
