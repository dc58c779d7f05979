import { DatabaseSync } from "node:sqlite";
import { Kysely, sql } from "kysely";
import { describe, expect, test } from "vitest";
import { createSqliteConnection } from "../../src/authority/sqlite-connection.ts";
import { createSqliteDialect } from "../../src/authority/sqlite-dialect.ts";

function open() {
  const database = new DatabaseSync(":memory:");
  database.exec("create table note (id integer primary key, text text)");
  const connection = createSqliteConnection(database);
  // Compiles statements, and never runs one.
  const query = compiler();
  const insert = (id: bigint) => query.insertInto("note").values({ id, text: "x" }).compile();
  const select = query.selectFrom("note").selectAll().orderBy("id").compile();
  const ids = () => connection.execute<{ id: bigint }>(select).rows.map(({ id }) => id);
  return { database, connection, insert, select, ids, query };
}

function compiler() {
  const noTurns = {
    take: () => Promise.reject(new Error("not used")),
    give() {},
    close: async () => {},
  };
  return new Kysely<{ note: { id: bigint; text: string } }>({
    dialect: createSqliteDialect(noTurns),
  });
}

describe("a connection", () => {
  test("tells what a change came to, or its rows", () => {
    const { connection, insert, query, ids } = open();
    expect(connection.execute(insert(7n))).toEqual({
      rows: [],
      numAffectedRows: 1n,
      insertId: 7n,
    });
    const returning = query.insertInto("note").values({ id: 8n, text: "y" }).returningAll();
    expect(connection.execute(returning.compile())).toEqual({ rows: [{ id: 8n, text: "y" }] });
    const updated = query.updateTable("note").set({ text: "z" }).compile();
    expect(connection.execute(updated)).toMatchObject({ rows: [], numAffectedRows: 2n });
    expect(connection.execute(query.deleteFrom("note").compile())).toMatchObject({
      rows: [],
      numAffectedRows: 2n,
    });
    expect(ids()).toEqual([]);
  });

  test("without a transaction has nothing to commit, and no action to take", () => {
    const { connection } = open();
    expect(() => connection.commit()).toThrow("cannot commit - no transaction is active");
    expect(() => connection.afterCommit(() => {})).toThrow(
      new Error("there is no running transaction"),
    );
    expect(() => connection.rollback()).not.toThrow();
    expect(connection.isOpen).toBe(true);
  });

  test("acts once after a commit, and never after a rollback", () => {
    const { connection, insert, ids } = open();
    const acted: string[] = [];
    connection.begin();
    connection.execute(insert(1n));
    connection.afterCommit(() => acted.push("rolled back"));
    connection.rollback();
    connection.begin();
    connection.execute(insert(2n));
    connection.afterCommit(() => acted.push("committed"));
    expect(acted).toEqual([]);
    connection.commit();
    connection.begin();
    connection.commit();
    expect(acted).toEqual(["committed"]);
    expect(ids()).toEqual([2n]);
  });

  test("refuses a transaction in a transaction", () => {
    const { connection } = open();
    connection.begin();
    expect(() => connection.begin()).toThrow("cannot start a transaction within a transaction");
  });

  test("takes nothing more in a transaction that has failed, and all after its end", () => {
    const { connection, insert, select, ids } = open();
    const failed = "the transaction has failed: one of its statements was refused";
    connection.begin();
    connection.execute(insert(1n));
    expect(() => connection.execute(insert(1n))).toThrow("UNIQUE constraint failed");
    expect(() => connection.execute(insert(2n))).toThrow(new Error(failed));
    expect(() => [...connection.iterate(select)]).toThrow(new Error(failed));
    expect(() => connection.commit()).toThrow(new Error(failed));
    connection.rollback();
    expect(ids()).toEqual([]);
    // Outside of a transaction a statement that fails is one that failed.
    connection.execute(insert(3n));
    expect(() => connection.execute(insert(3n))).toThrow("UNIQUE constraint failed");
    expect(ids()).toEqual([3n]);
  });

  test("goes on when SQLite has ended the transaction itself", () => {
    const { connection, database, insert, ids } = open();
    connection.begin();
    connection.execute(insert(1n));
    database.exec("rollback");
    connection.rollback();
    expect([connection.isOpen, database.isTransaction]).toEqual([true, false]);
    connection.begin();
    connection.execute(insert(2n));
    connection.commit();
    expect(ids()).toEqual([2n]);
  });

  test("is closed once", () => {
    const { connection, database } = open();
    connection.close();
    expect([connection.isOpen, database.isOpen]).toEqual([false, false]);
    expect(() => connection.close()).not.toThrow();
  });
});

describe("the dialect", () => {
  test("takes connections of its own only", async () => {
    const driver = createSqliteDialect({
      take: () => Promise.reject(new Error("not used")),
      give() {},
      close: async () => {},
    }).createDriver();
    const foreign = {
      executeQuery: () => Promise.reject(new Error("not used")),
      streamQuery: () => {
        throw new Error("not used");
      },
    };
    await expect(driver.beginTransaction(foreign, {})).rejects.toThrow(
      new TypeError("the connection is not one of this driver's"),
    );
  });

  test("gives the connection back when it is released, and lets nobody use it then", async () => {
    const { connection, insert, select, ids } = open();
    let given = 0;
    const driver = createSqliteDialect({
      take: async () => connection,
      give: () => {
        given++;
      },
      close: async () => connection.close(),
    }).createDriver();
    await driver.init();
    const turn = await driver.acquireConnection();
    await driver.beginTransaction(turn, {});
    await turn.executeQuery(insert(1n));
    await turn.executeQuery(insert(2n));
    await driver.commitTransaction(turn);
    const rows = turn.streamQuery<{ id: bigint }>(select, 1)[Symbol.asyncIterator]();
    expect((await rows.next()).value?.rows[0]?.id).toBe(1n);
    expect(given).toBe(0);
    await driver.releaseConnection(turn);
    expect(given).toBe(1);
    const late = new Error("the transaction is over: the statement came too late");
    await expect(rows.next()).rejects.toThrow(late);
    await expect(turn.executeQuery(insert(3n))).rejects.toThrow(late);
    await expect(driver.beginTransaction(turn, {})).rejects.toThrow(late);
    await expect(driver.commitTransaction(turn)).rejects.toThrow(late);
    await expect(driver.rollbackTransaction(turn)).rejects.toThrow(late);
    expect(ids()).toEqual([1n, 2n]);
    await driver.destroy();
    expect(connection.isOpen).toBe(false);
  });

  test("is SQLite's, with schemas changed in transactions", async () => {
    const query = compiler();
    expect(sql`select ${1n}`.compile(query).sql).toBe("select ?");
    const adapter = createSqliteDialect({
      take: () => Promise.reject(new Error("not used")),
      give() {},
      close: async () => {},
    }).createAdapter();
    expect(adapter.supportsTransactionalDdl).toBe(true);
    expect(adapter.supportsMultipleConnections).toBe(true);
    expect(adapter.supportsReturning).toBe(true);
  });
});
