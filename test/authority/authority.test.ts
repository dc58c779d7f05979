import { inspect } from "node:util";
import { sql } from "kysely";
import { describe, expect, test } from "vitest";
import { ServerAppIo } from "../../gen/flwr/proto/serverappio_pb.ts";
import type { appToken } from "../../src/appio/policy.ts";
import type { AnySqlDatabase, AuthorityOptions } from "../../src/authority/index.ts";
import { createAuthority, openSqlite } from "../../src/authority/index.ts";
import type { Token } from "../../src/policy/token.ts";
import { digestToken, parseToken } from "../../src/policy/token.ts";
import { storeUnavailable, type Verifier } from "../../src/policy/verifier.ts";
import { createStore, storeKind } from "../store.ts";

/** On SQLite, `shared` makes an authority ask the database each time. */
type Kind = "exclusive" | "shared" | "on PostgreSQL";

const kinds: readonly Kind[] =
  storeKind === "postgres" ? ["on PostgreSQL"] : ["exclusive", "shared"];

async function openAuthority(kind: Kind = kinds[0] ?? "exclusive") {
  const clock = { ms: 1_000_000 };
  const database = await open(kind);
  const authority = await createAuthority({ database, now: () => clock.ms });
  return { authority, database, clock };
}

function open(kind: Kind): Promise<AnySqlDatabase> {
  return kind === "on PostgreSQL"
    ? createStore().open()
    : openSqlite({ path: ":memory:", lock: kind });
}

function given(token: Token | undefined): Token {
  if (token === undefined) {
    throw new Error("no token was issued");
  }
  return token;
}

const unknown = parseToken("0".repeat(256));

describe.each(kinds)("an authority on a database that is %s", (kind) => {
  test("issues a token of 256 hexadecimal characters, different each time", async () => {
    const { authority } = await openAuthority(kind);
    const tokens = [await authority.issue(1n), await authority.issue(2n)].map(given);
    for (const token of tokens) {
      expect(token).toMatch(/^[0-9a-f]{256}$/);
    }
    expect(new Set(tokens).size).toBe(2);
  });

  test.each([1n, 2n ** 53n + 1n, 2n ** 63n, 2n ** 64n - 1n])(
    "verifies the token of run %s until it is revoked (case 27)",
    async (runId) => {
      const { authority } = await openAuthority(kind);
      const token = given(await authority.issue(runId));
      expect(await authority.verify(token)).toEqual({ runId, tokenDigest: digestToken(token) });
      expect(await authority.revoke(runId)).toBe(true);
      expect(await authority.verify(token)).toMatchObject({ reason: "revoked" });
      expect(await authority.revoke(runId)).toBe(false);
    },
  );

  test("issues nothing while the run holds a live token (case 28)", async () => {
    const { authority } = await openAuthority(kind);
    const token = given(await authority.issue(1n));
    expect(await authority.issue(1n)).toBeUndefined();
    expect(await authority.verify(token)).toMatchObject({ runId: 1n });
  });

  test("tells runs apart by their tokens, and knows no other token (case 29)", async () => {
    const { authority } = await openAuthority(kind);
    const [one, two] = [given(await authority.issue(1n)), given(await authority.issue(2n))];
    expect(await authority.verify(one)).toMatchObject({ runId: 1n });
    expect(await authority.verify(two)).toMatchObject({ runId: 2n });
    for (const other of [unknown, "", " ", one.toUpperCase(), `${one}0`, `${one},${one}`, "ü"]) {
      expect(await authority.verify(other)).toBeUndefined();
    }
  });

  test("a heartbeat makes a token outlive its first 30 s (case 30)", async () => {
    const { authority, clock } = await openAuthority(kind);
    const [one, two] = [given(await authority.issue(1n)), given(await authority.issue(2n))];
    expect(await authority.extend(digestToken(two))).toBe(true);
    clock.ms += 29_000;
    expect(await authority.verify(one)).toMatchObject({ runId: 1n });
    expect(await authority.verify(two)).toMatchObject({ runId: 2n });
    clock.ms += 2_000;
    expect(await authority.verify(one)).toMatchObject({ reason: "expired" });
    expect(await authority.verify(two)).toMatchObject({ runId: 2n });
  });

  test("a heartbeat with an unknown token is false (case 31)", async () => {
    const { authority } = await openAuthority(kind);
    expect(await authority.extend(digestToken(unknown))).toBe(false);
  });

  test("a token is good up to and including its last millisecond", async () => {
    const { authority, clock } = await openAuthority(kind);
    const token = given(await authority.issue(1n));
    clock.ms += 30_000;
    expect(await authority.verify(token)).toMatchObject({ runId: 1n });
    expect(await authority.extend(digestToken(token))).toBe(true);
    clock.ms += 60_000;
    expect(await authority.verify(token)).toMatchObject({ runId: 1n });
    clock.ms += 1;
    expect(await authority.verify(token)).toMatchObject({ reason: "expired" });
  });

  test("a clock may count parts of milliseconds", async () => {
    const { authority, clock } = await openAuthority(kind);
    clock.ms = 1_000_000.9;
    const token = given(await authority.issue(1n));
    clock.ms += 30_000;
    expect(await authority.verify(token)).toMatchObject({ runId: 1n });
    clock.ms += 0.1;
    expect(await authority.verify(token)).toMatchObject({ reason: "expired" });
  });

  test("a heartbeat never revives an expired token", async () => {
    const { authority, clock } = await openAuthority(kind);
    const token = given(await authority.issue(1n));
    clock.ms += 30_001;
    expect(await authority.extend(digestToken(token))).toBe(false);
    expect(await authority.verify(token)).toMatchObject({ reason: "expired" });
  });

  test("an expired token makes way for a claim, and stays refused if the clock is set back", async () => {
    const { authority, clock } = await openAuthority(kind);
    const first = given(await authority.issue(1n));
    clock.ms += 30_001;
    const second = given(await authority.issue(1n));
    clock.ms -= 10_000;
    expect(await authority.verify(second)).toMatchObject({ runId: 1n });
    expect(await authority.verify(first)).toBeUndefined();
    expect(await authority.extend(digestToken(first))).toBe(false);
  });

  test("hands out each expired token once, with the instant it ended", async () => {
    const { authority, clock } = await openAuthority(kind);
    const issuedAt = clock.ms;
    const tokens = [await authority.issue(1n), await authority.issue(2n ** 64n - 1n)].map(given);
    clock.ms += 15_000;
    await authority.issue(3n);
    expect(await authority.takeExpired()).toEqual([]);
    clock.ms += 15_001;
    const taken = (await Promise.all([authority.takeExpired(), authority.takeExpired()])).flat();
    expect(taken.sort((a, b) => Number(a.runId - b.runId))).toEqual([
      { runId: 1n, expiredAt: issuedAt + 30_000 },
      { runId: 2n ** 64n - 1n, expiredAt: issuedAt + 30_000 },
    ]);
    for (const token of tokens) {
      expect(await authority.verify(token)).toMatchObject({ reason: "expired" });
    }
    expect(await authority.revoke(3n)).toBe(true);
  });

  test("issues nothing for run 0, which is what an unset id looks like", async () => {
    const { authority } = await openAuthority(kind);
    expect(await authority.issue(0n)).toBeUndefined();
  });

  test("grants one of many claims made at once", async () => {
    const { authority } = await openAuthority(kind);
    const tokens = await Promise.all(Array.from({ length: 50 }, () => authority.issue(1n)));
    const granted = tokens.filter((token) => token !== undefined);
    expect(granted).toHaveLength(1);
    expect(await authority.verify(given(granted[0]))).toMatchObject({ runId: 1n });
  });

  test("what a rolled back transaction did never happened", async () => {
    const { authority, database } = await openAuthority(kind);
    const kept = given(await authority.issue(1n));
    let lost: Token | undefined;
    const failed = database.withTables().transaction(async (tx) => {
      expect(await authority.revoke(1n, tx)).toBe(true);
      lost = await authority.issue(1n, tx);
      await authority.extend(digestToken(given(lost)), tx);
      throw new Error("rolled back");
    });
    await expect(failed).rejects.toThrow("rolled back");
    expect(await authority.verify(kept)).toMatchObject({ runId: 1n });
    expect(await authority.verify(given(lost))).toBeUndefined();
  });

  test("what a transaction did counts from its commit on", async () => {
    const { authority, database } = await openAuthority(kind);
    const old = given(await authority.issue(1n));
    const token = await database.withTables().transaction(async (tx) => {
      await authority.revoke(1n, tx);
      return authority.issue(1n, tx);
    });
    expect(await authority.verify(old)).toMatchObject({ reason: "revoked" });
    expect(await authority.verify(given(token))).toMatchObject({ runId: 1n });
  });

  test("says so when its database is closed: nothing is proved then", async () => {
    const { authority, database } = await openAuthority(kind);
    const token = given(await authority.issue(1n));
    await database.close();
    const closed = storeUnavailable(new Error("the database is closed"));
    expect(await authority.verify(token)).toEqual(closed);
    expect(await authority.verifier(token)).toEqual(closed);
    await expect(authority.issue(2n)).rejects.toThrow("is closed");
    await expect(authority.extend(digestToken(token))).rejects.toThrow("is closed");
  });

  test.each([Number.NaN, Number.POSITIVE_INFINITY])("throws when the clock says %s", async (ms) => {
    const { authority, clock } = await openAuthority(kind);
    const token = given(await authority.issue(1n));
    clock.ms = ms;
    const error = new Error("the clock must return milliseconds since the epoch");
    await expect(authority.verify(token)).rejects.toThrow(error);
    await expect(authority.issue(2n)).rejects.toThrow(error);
  });

  test("keeps no token and no digest in what can be inspected, nor in its errors", async () => {
    const { authority, database } = await openAuthority(kind);
    const token = given(await authority.issue(1n));
    const verified = await authority.verify(token);
    await sql`drop table token`.execute(database.withTables().query);
    const errors = await Promise.allSettled([
      authority.issue(2n),
      authority.extend(digestToken(token)),
      authority.revoke(1n),
      kind === "exclusive" ? authority.takeExpired() : authority.verify(token),
    ]);
    expect(errors.map(({ status }) => status)).toEqual(Array(4).fill("rejected"));
    const shown = inspect([authority, database, verified, errors], {
      depth: 20,
      showHidden: true,
      showProxy: true,
    });
    expect(shown).toMatch(/no such table: token|relation "token" does not exist/);
    expect(shown).not.toContain(token);
    // Neither a digest nor, of the claim that failed, a token.
    expect(inspect([authority, database, errors], { depth: 20, showHidden: true })).not.toMatch(
      /[0-9a-f]{32}/,
    );
  });
});

describe("createAuthority", () => {
  test.each<[Partial<Record<keyof AuthorityOptions, unknown>>, string]>([
    [{ firstTtlMs: 0 }, '"firstTtlMs" must be a positive whole number of milliseconds'],
    [{ firstTtlMs: Number.NaN }, '"firstTtlMs" must be a positive whole number of milliseconds'],
    [{ extendedTtlMs: 1.5 }, '"extendedTtlMs" must be a positive whole number of milliseconds'],
    [{ staleMs: -1 }, '"staleMs" must be a whole number of milliseconds, 0 or more'],
    [{ staleMs: Number.NaN }, '"staleMs" must be a whole number of milliseconds, 0 or more'],
    [{ now: 5 }, '"now" must be a function that returns milliseconds since the epoch'],
  ])("refuses %j", async (options, message) => {
    const database = await open(kinds[0] ?? "exclusive");
    // A caller without types can pass anything.
    const wrong = { database, ...options } as AuthorityOptions;
    await expect(createAuthority(wrong)).rejects.toThrow(new TypeError(message));
  });

  test("makes a verifier that the guard takes for app tokens", async () => {
    const { authority } = await openAuthority();
    const verifier: Verifier<typeof appToken> = authority.verifier;
    const signal = new AbortController().signal;
    const call = {
      method: ServerAppIo.method.getNodes,
      signal,
      timeoutMs: 5_000,
      isRecheck: false,
      isProbe: false,
    };
    const token = given(await authority.issue(1n));
    expect(await verifier(token, call)).toEqual({ runId: 1n, tokenDigest: digestToken(token) });
    expect(await verifier(unknown, call)).toBeUndefined();
  });

  test("goes by the database's own clock unless it is given one", async () => {
    const database = await open(kinds[0] ?? "exclusive");
    const authority = await createAuthority({ database, firstTtlMs: 1 });
    const token = given(await authority.issue(1n));
    await expect.poll(() => authority.verify(token)).toMatchObject({ reason: "expired" });
    const [taken] = await authority.takeExpired();
    expect(taken?.runId).toBe(1n);
    expect(Math.abs((taken?.expiredAt ?? 0) - Date.now())).toBeLessThan(60_000);
  });

  test("takes other lives than Flower's", async () => {
    const clock = { ms: 0 };
    const authority = await createAuthority({
      database: await open(kinds[0] ?? "exclusive"),
      now: () => clock.ms,
      firstTtlMs: 10,
      extendedTtlMs: 20,
    });
    const token = given(await authority.issue(1n));
    clock.ms = 10;
    expect(await authority.extend(digestToken(token))).toBe(true);
    clock.ms = 31;
    expect(await authority.verify(token)).toMatchObject({ reason: "expired" });
  });

  test("refuses a transaction of another database", async () => {
    const { authority } = await openAuthority();
    const other = (await open(kinds[0] ?? "exclusive")).withTables();
    await expect(other.transaction((tx) => authority.issue(1n, tx))).rejects.toThrow(
      new TypeError('"tx" must be a transaction of the authority\'s database'),
    );
  });
});
