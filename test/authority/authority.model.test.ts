import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Authority, SqlDatabase } from "../../src/authority/index.ts";
import { createAuthority, openSqlite } from "../../src/authority/index.ts";
import type { Token } from "../../src/policy/token.ts";
import { digestToken, parseToken } from "../../src/policy/token.ts";
import { createStore, type Store, storeKind } from "../store.ts";
import { temporaryDirectory } from "./temporary-directory.ts";

/**
 * What an authority must look like from outside. A token is known by its
 * number: the order of issue, over all runs.
 */
interface Model {
  nowMs: number;
  issued: number;
  /** The tokens that are stored, at most one per run. */
  readonly stored: Map<bigint, { readonly number: number; activeUntilMs: number }>;
  /** Why a token of this process is gone, as far as it is told. */
  readonly reasons: Map<number, "expired" | "revoked">;
}

interface Real {
  readonly clock: { ms: number };
  readonly tokens: Token[];
  database: SqlDatabase<object>;
  authority: Authority;
  reopen(): Promise<void>;
}

type Command = fc.AsyncCommand<Model, Real>;

/** A command in one line: what it does to the model and to the real thing, and that both agree. */
function command(name: string, run: (model: Model, real: Real) => Promise<void>): Command {
  return { check: () => true, run, toString: () => name };
}

function isLive(model: Model, runId: bigint): boolean {
  const stored = model.stored.get(runId);
  return stored !== undefined && stored.activeUntilMs >= model.nowMs;
}

function grant(model: Model, runId: bigint): void {
  model.stored.set(runId, { number: model.issued, activeUntilMs: model.nowMs + 30_000 });
  model.issued++;
}

function storedToken(model: Model, number: number) {
  return [...model.stored].find(([, stored]) => stored.number === number);
}

async function verifyAgrees(model: Model, real: Real, number: number): Promise<void> {
  const token = tokenOf(real, number);
  const found = storedToken(model, number);
  const answer = await real.authority.verify(token);
  if (found === undefined) {
    const reason = model.reasons.get(number);
    expect(answer).toEqual(reason === undefined ? undefined : expect.objectContaining({ reason }));
  } else if (found[1].activeUntilMs < model.nowMs) {
    expect(answer).toMatchObject({ reason: "expired" });
  } else {
    expect(answer).toEqual({ runId: found[0], tokenDigest: digestToken(token) });
  }
}

const unknownToken = parseToken("f".repeat(256));

/** The token of a number; a token that nobody issued if there is none of that number yet. */
function tokenOf(real: Real, number: number): Token {
  return real.tokens[number] ?? unknownToken;
}

const runId = fc.constantFrom(1n, 2n, 2n ** 63n, 2n ** 64n - 1n);
const number = fc.nat({ max: 12 });
const advanceMs = fc.oneof(
  fc.constantFrom(1, 29_999, 30_000, 30_001, 59_999, 60_001, -1, -30_000),
  fc.integer({ min: -40_000, max: 70_000 }),
);

const commands: fc.Arbitrary<Command>[] = [
  runId.map((id) =>
    command(`issue(${id})`, async (model, real) => {
      const token = await real.authority.issue(id);
      expect(token !== undefined).toBe(!isLive(model, id));
      if (token !== undefined) {
        real.tokens.push(token);
        grant(model, id);
      }
    }),
  ),
  number.map((n) => command(`verify(${n})`, (model, real) => verifyAgrees(model, real, n))),
  number.map((n) =>
    command(`extend(${n})`, async (model, real) => {
      const stored = storedToken(model, n)?.[1];
      const live = stored !== undefined && stored.activeUntilMs >= model.nowMs;
      expect(await real.authority.extend(digestToken(tokenOf(real, n)))).toBe(live);
      if (live) {
        stored.activeUntilMs = model.nowMs + 60_000;
      }
    }),
  ),
  runId.map((id) =>
    command(`revoke(${id})`, async (model, real) => {
      const stored = model.stored.get(id);
      expect(await real.authority.revoke(id)).toBe(stored !== undefined);
      if (stored !== undefined) {
        model.stored.delete(id);
        model.reasons.set(stored.number, "revoked");
      }
    }),
  ),
  fc.constant(
    command("takeExpired()", async (model, real) => {
      const taken = await real.authority.takeExpired();
      const expected = [...model.stored].filter(([, stored]) => stored.activeUntilMs < model.nowMs);
      expect(new Map(taken.map((token) => [token.runId, token.expiredAt]))).toEqual(
        new Map(expected.map(([id, stored]) => [id, stored.activeUntilMs])),
      );
      expect(taken).toHaveLength(expected.length);
      for (const [id, stored] of expected) {
        model.stored.delete(id);
        model.reasons.set(stored.number, "expired");
      }
    }),
  ),
  fc.tuple(runId, fc.boolean()).map(([id, commits]) =>
    command(`revoke and issue(${id}), ${commits ? "commit" : "roll back"}`, async (model, real) => {
      let token: Token | undefined;
      const done = real.database.transaction(async (tx) => {
        await real.authority.revoke(id, tx);
        token = await real.authority.issue(id, tx);
        if (!commits) {
          throw new Error("rolled back");
        }
      });
      expect((await Promise.allSettled([done]))[0]?.status).toBe(
        commits ? "fulfilled" : "rejected",
      );
      expect(token).toBeDefined();
      if (!commits) {
        expect(await real.authority.verify(token ?? "")).toBeUndefined();
      } else if (token !== undefined) {
        const old = model.stored.get(id);
        if (old !== undefined) {
          model.reasons.set(old.number, "revoked");
        }
        real.tokens.push(token);
        grant(model, id);
      }
    }),
  ),
  advanceMs.map((ms) =>
    command(`advance(${ms} ms)`, async (model, real) => {
      model.nowMs += ms;
      real.clock.ms += ms;
    }),
  ),
  fc.constant(
    command("reopen()", async (model, real) => {
      await real.reopen();
      model.reasons.clear();
    }),
  ),
];

/** Runs random commands against an authority that `open` makes anew for each sequence. */
async function agreesWithModel(
  runs: number,
  open: () => () => Promise<SqlDatabase<object>>,
): Promise<void> {
  await fc.assert(
    fc.asyncProperty(fc.commands(commands, { maxCommands: 60 }), async (sequenceOfCommands) => {
      const connect = open();
      const clock = { ms: 1_000_000 };
      const create = async () => {
        const database = await connect();
        return { database, authority: await createAuthority({ database, now: () => clock.ms }) };
      };
      const real: Real = {
        clock,
        tokens: [],
        ...(await create()),
        async reopen() {
          Object.assign(real, await create());
        },
      };
      const model: Model = { nowMs: clock.ms, issued: 0, stored: new Map(), reasons: new Map() };
      try {
        await fc.asyncModelRun(() => ({ model, real }), sequenceOfCommands);
        for (let number = 0; number < model.issued; number++) {
          await verifyAgrees(model, real, number);
        }
      } finally {
        await real.database.close();
      }
    }),
    { numRuns: runs },
  );
}

const locks = ["exclusive", "shared"] as const;

if (storeKind === "memory")
  describe.each(locks)("the authority and its model agree, %s", (lock) => {
    test("in memory", async () => {
      await agreesWithModel(150, () => {
        // Memory does not outlive its connection: here, to reopen is to make another authority on it.
        const database = openSqlite<object>({ path: ":memory:", lock });
        return () => database;
      });
    });

    test("in a file", async () => {
      const directory = temporaryDirectory();
      let sequence = 0;
      await agreesWithModel(30, () => {
        const path = join(directory, `${sequence++}.db`);
        let last: SqlDatabase<object> | undefined;
        return async () => {
          await last?.close();
          last = await openSqlite<object>({ path, lock });
          return last;
        };
      });
    });
  });

if (storeKind === "postgres")
  describe("the authority and its model agree", () => {
    test("on PostgreSQL", async () => {
      let store: Store | undefined;
      await agreesWithModel(20, () => {
        // The sequence before has closed what it opened.
        store?.reuse();
        const current = createStore();
        store = current;
        let last: SqlDatabase<object> | undefined;
        return async () => {
          await last?.close();
          last = (await current.open()).withTables<object>();
          return last;
        };
      });
    });
  });
