import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { createAuthority, openSqlite } from "../../src/authority/index.ts";
import type { Token } from "../../src/policy/token.ts";
import { digestToken } from "../../src/policy/token.ts";
import { isRefusal, storeUnavailable } from "../../src/policy/verifier.ts";
import { startChild } from "./child.ts";
import { temporaryDirectory } from "./temporary-directory.ts";

/** An authority in memory. */
async function openAuthority() {
  const clock = { ms: 1_000_000 };
  const database = await openSqlite({ path: ":memory:" });
  const authority = await createAuthority({ database, now: () => clock.ms });
  return { authority, database, clock };
}

function given(token: Token | undefined): Token {
  if (token === undefined) {
    throw new Error("no token was issued");
  }
  return token;
}

describe("an exclusive file", () => {
  test("keeps digests, and never a token", async () => {
    const path = join(temporaryDirectory(), "tokens.db");
    const database = await openSqlite({ path });
    const authority = await createAuthority({ database });
    const token = given(await authority.issue(1n));
    await authority.extend(digestToken(token));

    // Read by another process: closing the file here would give up this process's locks on it.
    const log = execFileSync("cat", [`${path}-wal`], { encoding: "latin1" });
    expect(log).toContain(digestToken(token));
    await database.close();
    expect(existsSync(`${path}-wal`)).toBe(false);
    const file = readFileSync(path, "latin1");
    expect(file).toContain(digestToken(token));

    const bytes = Buffer.from(token, "hex").toString("latin1");
    for (const content of [log, file]) {
      for (let start = 0; start < token.length; start += 32) {
        expect(content).not.toContain(token.slice(start, start + 32));
        expect(content).not.toContain(bytes.slice(start / 2, start / 2 + 16));
      }
    }
  });

  test("keeps its tokens when it is opened again", async () => {
    const path = join(temporaryDirectory(), "tokens.db");
    const clock = { ms: 1_000_000 };
    const open = async () => {
      const database = await openSqlite({ path });
      return { database, authority: await createAuthority({ database, now: () => clock.ms }) };
    };
    const before = await open();
    const token = given(await before.authority.issue(1n));
    await before.database.close();
    const after = await open();
    expect(await after.authority.verify(token)).toMatchObject({ runId: 1n });
    expect(await after.authority.issue(1n)).toBeUndefined();
    clock.ms += 30_001;
    expect(await after.authority.verify(token)).toMatchObject({ reason: "expired" });
    await after.database.close();
  });

  test("keeps the tokens of a process that crashed", async () => {
    const path = join(temporaryDirectory(), "tokens.db");
    const holder = startChild<never, string>("holder.ts", path);
    const token = await holder.hear();
    await holder.kill();
    const database = await openSqlite({ path });
    const authority = await createAuthority({ database });
    expect(await authority.verify(token)).toMatchObject({ runId: 7n });
    await database.close();
  });

  test("shows two authorities of one process the same tokens", async () => {
    const { authority, database } = await openAuthority();
    const other = await createAuthority({ database, now: () => 1_000_000 });
    const token = given(await authority.issue(1n));
    expect(await other.verify(token)).toMatchObject({ runId: 1n });
    await other.revoke(1n);
    expect(await authority.verify(token)).toBeUndefined();
  });

  test("a revoked token is refused from the turn of the commit on", async () => {
    const { authority, database } = await openAuthority();
    const token = given(await authority.issue(1n));
    let atCommit: Promise<unknown> | undefined;
    await database.withTables().transaction(async (tx) => {
      await authority.revoke(1n, tx);
      expect(await authority.verify(token)).toMatchObject({ runId: 1n });
      // The first code that can run after the commit.
      tx.afterCommit(() => {
        atCommit = authority.verify(token);
      });
    });
    expect(isRefusal(await atCommit)).toBe(true);
  });
});

describe("a shared file", () => {
  test("shows each authority what the other one did, at once", async () => {
    const path = join(temporaryDirectory(), "tokens.db");
    const databases = [
      await openSqlite({ path, lock: "shared" }),
      await openSqlite({ path, lock: "shared" }),
    ] as const;
    const one = await createAuthority({ database: databases[0] });
    const two = await createAuthority({ database: databases[1] });
    const token = given(await one.issue(1n));
    expect(await two.verify(token)).toMatchObject({ runId: 1n });
    expect(await two.issue(1n)).toBeUndefined();
    expect(await two.revoke(1n)).toBe(true);
    expect(await one.verify(token)).toBeUndefined();
    for (const database of databases) {
      await database.close();
    }
  });

  test("may spare a question for a while, and hides nothing of this process's own doing", async () => {
    const path = join(temporaryDirectory(), "tokens.db");
    const databases = [
      await openSqlite({ path, lock: "shared" }),
      await openSqlite({ path, lock: "shared" }),
    ] as const;
    const one = await createAuthority({ database: databases[0] });
    const two = await createAuthority({ database: databases[1], staleMs: 600_000 });
    const [first, second] = [given(await one.issue(1n)), given(await one.issue(2n))];
    for (const [token, runId] of [
      [first, 1n],
      [second, 2n],
    ] as const) {
      expect(await two.verify(token)).toEqual({ runId, tokenDigest: digestToken(token) });
    }
    await one.revoke(1n);
    await two.revoke(2n);
    const known = two.verifier(first);
    expect(known, "answered at once").not.toBeInstanceOf(Promise);
    expect(known).toEqual({ runId: 1n, tokenDigest: digestToken(first) });
    expect(await two.verify(second)).toMatchObject({ reason: "revoked" });
    for (const database of databases) {
      await database.close();
    }
    expect(await one.verify(second)).toEqual(storeUnavailable(new Error("the database is closed")));
  });
});
