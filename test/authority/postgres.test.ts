import { inspect } from "node:util";
import { type Kysely, sql } from "kysely";
import pg from "pg";
import { describe, expect, test } from "vitest";
import type { PostgresOptions, SqlDatabase } from "../../src/authority/index.ts";
import { openPostgres, SqlError } from "../../src/authority/index.ts";
import { createSharedPlace } from "../store.ts";

interface Tables {
  readonly note: { readonly id: bigint; readonly text: string };
}

/** Settings of a schema of its own. */
async function settings(): Promise<Readonly<Record<string, string>>> {
  const place = await createSharedPlace();
  if ("path" in place) {
    throw new Error("these tests are for PostgreSQL");
  }
  return place.config;
}

async function openNotes(options: Partial<PostgresOptions> = {}): Promise<SqlDatabase<Tables>> {
  const config = options.config ?? (await settings());
  const database = await openPostgres<Tables>({ driver: pg, ...options, config });
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

async function textsOf(query: Kysely<Tables>): Promise<string[]> {
  const rows = await query.selectFrom("note").select("text").orderBy("id").execute();
  return rows.map(({ text }) => text);
}

async function processOf(query: Kysely<Tables>): Promise<bigint> {
  const { rows } = await sql<{ pid: bigint }>`select pg_backend_pid() as pid`.execute(query);
  return rows[0]?.pid ?? 0n;
}

function end(query: Kysely<Tables>, pid: bigint) {
  return sql`select pg_terminate_backend(cast(${pid} as integer), 5000)`.execute(query);
}

/** Lets some go on together when all of them have come. */
function barrier(count: number) {
  let open = () => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  let missing = count;
  return async () => {
    missing -= 1;
    if (missing === 0) {
      open();
    }
    await opened;
  };
}

describe("openPostgres", () => {
  test.each<[Record<string, unknown>, string]>([
    [{ driver: {} }, '"driver" must be the default export of the npm package pg'],
    [{}, 'either "connectionString" or "config" must say where the database is'],
    [
      { connectionString: "postgres://x", config: {} },
      'either "connectionString" or "config" must say where the database is',
    ],
    [
      { connectionString: "s3cret" },
      '"connectionString" must be a URL that begins with postgres://',
    ],
    [{ config: {}, maxConnections: 0 }, '"maxConnections" must be a positive whole number'],
    [{ config: {}, connectTimeoutMs: -1 }, '"connectTimeoutMs" must be a positive whole number'],
    [
      { config: {}, idleInTransactionTimeoutMs: Number.NaN },
      '"idleInTransactionTimeoutMs" must be a positive whole number',
    ],
  ])("refuses %j", async (options, message) => {
    // A caller without types can pass anything.
    const wrong = { driver: pg, ...options } as unknown as PostgresOptions;
    await expect(openPostgres(wrong)).rejects.toThrow(new TypeError(message));
  });

  test("says that nobody answers, and not with which password it asked", async () => {
    const connectionString = "postgres://someone:s3cret@127.0.0.1:1/nothing";
    const failure = await openPostgres({ driver: pg, connectionString }).catch(
      (error: unknown) => error,
    );
    expect(failure).toBeInstanceOf(SqlError);
    expect(failure).toMatchObject({
      reason: "unavailable",
      message: expect.stringMatching(/^the database is unavailable: .*ECONNREFUSED/),
    });
    expect(inspect(failure, { depth: 20, showHidden: true })).not.toContain("s3cret");
  });

  test("shows no password in what can be inspected", async () => {
    const database = await openNotes({ config: { ...(await settings()), password: "s3cret" } });
    expect(inspect(database, { depth: 20, showHidden: true })).not.toContain("s3cret");
    await database.close();
  });

  test.each([
    [true, 2n],
    [false, 0n],
  ])("prepares statements once: %s", async (prepare, expected) => {
    const database = await openNotes({ prepare, maxConnections: 1 });
    const before = await countPrepared(database);
    for (let id = 1n; id <= 5n; id++) {
      await write(database.query, id);
      await textsOf(database.query);
    }
    expect((await countPrepared(database)) - before).toBe(expected);
    await database.close();
  });

  async function countPrepared(database: SqlDatabase<Tables>): Promise<bigint> {
    const { rows } = await sql<{ prepared: bigint }>`
      select count(*) as prepared from pg_prepared_statements
    `.execute(database.query);
    return rows[0]?.prepared ?? 0n;
  }
});

describe("values", () => {
  test("come back as they were", async () => {
    const database = await openNotes();
    const { rows } = await sql`
      select cast(${-(2n ** 63n)} as bigint) as least,
        cast(${Number.POSITIVE_INFINITY} as double precision) as infinite,
        cast(${0.1 + 0.2} as double precision) as fraction,
        cast(${new Uint8Array([0, 92, 255])} as bytea) as bytes,
        cast(${"größe \u{1F600}"} as text) as text,
        cast(null as bigint) as nothing,
        1 = 1 as yes, 1.50 as numeric
    `.execute(database.query);
    expect(rows).toEqual([
      {
        least: -(2n ** 63n),
        infinite: Number.POSITIVE_INFINITY,
        fraction: 0.1 + 0.2,
        bytes: new Uint8Array([0, 92, 255]),
        text: "größe \u{1F600}",
        nothing: null,
        yes: true,
        numeric: "1.50",
      },
    ]);
    await database.close();
  });

  test("that cannot be stored are refused as such", async () => {
    const database = await openNotes();
    await expect(write(database.query, 1n, "a\0b")).rejects.toMatchObject({
      name: "SqlError",
      reason: "unstorable",
      sqlState: "22021",
    });
    await database.close();
  });

  test("are in no error", async () => {
    const database = await openNotes();
    await write(database.query, 12345678901n, "confidential");
    const failure = await write(database.query, 12345678901n, "confidential").catch(
      (error: unknown) => error,
    );
    expect(failure).toMatchObject({ reason: "refused", sqlState: "23505" });
    expect(inspect(failure, { depth: 20, showHidden: true })).not.toMatch(
      /confidential|12345678901/,
    );
    await database.close();
  });
});

describe("transaction", () => {
  test("runs its work again when it was chosen to end a deadlock, and acts once", async () => {
    const database = await openNotes();
    await write(database.query, 1n, "");
    await write(database.query, 2n, "");
    const bothHaveOne = barrier(2);
    const acted: string[] = [];
    let tries = 0;
    const append = (first: bigint, second: bigint, text: string) =>
      database.transaction(async (tx) => {
        tries += 1;
        tx.afterCommit(() => acted.push(text));
        for (const id of [first, second]) {
          await tx.query
            .updateTable("note")
            .set({ text: sql<string>`text || cast(${text} as text)` })
            .where("id", "=", id)
            .execute();
          await bothHaveOne();
        }
      });
    await Promise.all([append(1n, 2n, "a"), append(2n, 1n, "b")]);
    const [one = "", two = ""] = await textsOf(database.query);
    expect([...one].toSorted()).toEqual(["a", "b"]);
    expect(two).toBe(one);
    expect(acted.toSorted()).toEqual(["a", "b"]);
    expect(tries, "at least one of the two").toBeGreaterThan(2);
    await database.close();
  });

  test("sees what others have committed, whatever the server's default", async () => {
    const config = await settings();
    const options = `${config.options} -c default_transaction_isolation=serializable`;
    const database = await openNotes({ config: { ...config, options } });
    await database.transaction(async ({ query }) => {
      expect(await textsOf(query)).toEqual([]);
      const other = await openNotes({ config });
      await write(other.query, 1n);
      await other.close();
      expect(await textsOf(query)).toEqual(["x"]);
    });
    await database.close();
  });

  test("is undone when its connection breaks, and the next one has another", async () => {
    const database = await openNotes();
    const other = await openNotes();
    let actions = 0;
    const broken = database.transaction(async (tx) => {
      tx.afterCommit(() => actions++);
      await write(tx.query, 1n);
      await end(other.query, await processOf(tx.query));
      await write(tx.query, 2n);
    });
    await expect(broken).rejects.toMatchObject({ name: "SqlError", reason: "unavailable" });
    await database.transaction(({ query }) => write(query, 3n, "after"));
    expect(await textsOf(database.query)).toEqual(["after"]);
    expect(actions).toBe(0);
    await Promise.all([database.close(), other.close()]);
  });

  test("outlives the end of a connection that nobody used", async () => {
    const database = await openNotes({ maxConnections: 1 });
    const other = await openNotes();
    await end(other.query, await processOf(database.query));
    // The news may come after the first statement that needs the connection.
    await write(database.query, 1n).catch(() => {});
    await write(database.query, 2n);
    expect(await textsOf(database.query)).toContain("x");
    await Promise.all([database.close(), other.close()]);
  });

  test("is ended by the server when its process does nothing", async () => {
    const config = await settings();
    const database = await openNotes({ config, idleInTransactionTimeoutMs: 1_000 });
    const other = await openNotes({ config });
    await write(database.query, 1n);
    const hasWritten = barrier(2);
    const isOver = barrier(2);
    const frozen = database.transaction(async ({ query }) => {
      await query.updateTable("note").set({ text: "frozen" }).execute();
      await hasWritten();
      await isOver();
      await textsOf(query);
    });
    const refused = expect(frozen).rejects.toMatchObject({ reason: "unavailable" });
    await hasWritten();
    // Waits for the lock that the frozen transaction has, and gets it.
    await other.query.updateTable("note").set({ text: "thawed" }).execute();
    await isOver();
    await refused;
    expect(await textsOf(other.query)).toEqual(["thawed"]);
    await Promise.all([database.close(), other.close()]);
  });

  test("runs statements that are asked for at once one after the other", async () => {
    const database = await openNotes();
    await database.transaction(async ({ query }) => {
      await Promise.all([1n, 2n, 3n].map((id) => write(query, id, String(id))));
    });
    expect(await textsOf(database.query)).toEqual(["1", "2", "3"]);
    await database.close();
  });

  test("waits for a connection as long as it is told", async () => {
    const database = await openNotes({ maxConnections: 1, connectTimeoutMs: 1_000 });
    const other = database.transaction(async ({ query }) => {
      await write(query, 1n);
      await tooLate;
    });
    const tooLate = expect(textsOf(database.query)).rejects.toMatchObject({
      reason: "unavailable",
    });
    await other;
    expect(await textsOf(database.query)).toEqual(["x"]);
    await database.close();
  });
});

test("the clock is the server's", async () => {
  const database = await openNotes();
  const clockOf = async (query: Kysely<Tables>) => {
    const { rows } = await sql<{ at: number }>`
      select cast(extract(epoch from clock_timestamp()) * 1000 as double precision) as at
    `.execute(query);
    return rows[0]?.at ?? 0;
  };
  await database.transaction(async ({ query }) => {
    const before = await clockOf(query);
    const now = database.now();
    const after = await clockOf(query);
    // It was read at the start of the transaction, and is behind by what that answer took.
    expect(now).toBeGreaterThan(before - 1000);
    expect(now).toBeLessThanOrEqual(after + 1);
  });
  await database.close();
});
