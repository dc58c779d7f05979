import { sql } from "kysely";
import { expect, test } from "vitest";
import { createAuthority } from "../../src/authority/index.ts";
import type { TokenTables } from "../../src/authority/token-table.ts";
import type { Token } from "../../src/policy/token.ts";
import { digestToken } from "../../src/policy/token.ts";
import { openPlace } from "../place.ts";
import { createSharedPlace } from "../store.ts";
import { startChild } from "./child.ts";

/** Two authorities on one database, as two processes have them. */
async function openTwo(staleMs?: number) {
  const place = await createSharedPlace();
  const databases = [await openPlace(place), await openPlace(place)] as const;
  const clock = { ms: 1_000_000 };
  const options = { now: () => clock.ms, ...(staleMs === undefined ? {} : { staleMs }) };
  const [one, two] = [
    await createAuthority({ database: databases[0], ...options }),
    await createAuthority({ database: databases[1], ...options }),
  ];
  return { one, two, close: () => Promise.all(databases.map((database) => database.close())) };
}

function given(token: Token | undefined): Token {
  if (token === undefined) {
    throw new Error("no token was issued");
  }
  return token;
}

test("replicas that start at one instant create the tables once", async () => {
  const place = await createSharedPlace();
  const databases = await Promise.all(Array.from({ length: 8 }, () => openPlace(place)));
  const authorities = await Promise.all(databases.map((database) => createAuthority({ database })));
  const tokens = await Promise.all(authorities.map((authority) => authority.issue(1n)));
  expect(tokens.filter((token) => token !== undefined)).toHaveLength(1);
  await Promise.all(databases.map((database) => database.close()));
});

test("each replica sees at once what another one did", async () => {
  const { one, two, close } = await openTwo();
  const token = given(await one.issue(1n));
  expect(await two.verify(token)).toMatchObject({ runId: 1n });
  expect(await two.issue(1n)).toBeUndefined();
  expect(await one.revoke(1n)).toBe(true);
  expect(await two.verify(token)).toBeUndefined();
  await close();
});

test("a staleness that is allowed spares the question, and hides nothing of this process's own doing", async () => {
  const { one, two, close } = await openTwo(600_000);
  const [first, second] = [given(await one.issue(1n)), given(await one.issue(2n))];
  expect(await two.verify(first)).toMatchObject({ runId: 1n });
  expect(await two.verify(second)).toMatchObject({ runId: 2n });
  await one.revoke(1n);
  await two.revoke(2n);
  expect(await two.verify(first), "revoked elsewhere").toMatchObject({ runId: 1n });
  expect(await two.verify(second), "revoked here").toMatchObject({ reason: "revoked" });
  expect(await one.verify(first)).toMatchObject({ reason: "revoked" });
  await close();
});

test("expiry is the server's business: a process with a wrong clock agrees", async () => {
  const place = await createSharedPlace();
  const database = await openPlace(place);
  const authority = await createAuthority({ database });
  const child = startChild<{ verify: string }, { token: string } | { verified: boolean }>(
    "wrong-clock.ts",
    JSON.stringify(place),
  );
  const issued = await child.hear();
  const token = "token" in issued ? issued.token : "";
  expect(await authority.verify(token), "issued in the year 2000").toMatchObject({ runId: 7n });

  const { query } = database.withTables<TokenTables>();
  const endsIn = (ms: number) =>
    query
      .updateTable("token")
      .set({
        active_until_ms: sql`cast(extract(epoch from clock_timestamp()) * 1000 + ${ms} as bigint)`,
      })
      .execute();
  await endsIn(60_000);
  child.tell({ verify: token });
  expect(await child.hear()).toEqual({ verified: true });
  await endsIn(-1);
  child.tell({ verify: token });
  expect(await child.hear()).toEqual({ verified: false });
  expect(await authority.verify(token)).toMatchObject({ reason: "expired" });
  expect(await authority.extend(digestToken(given(token as Token)))).toBe(false);
  expect(await authority.takeExpired()).toMatchObject([{ runId: 7n }]);
  await database.close();
});
