import { expect, test } from "vitest";
import { openSqlite } from "../../src/authority/index.ts";
import { floodWhileTokensEnd } from "./revocation-flood.ts";
import { temporaryDirectory } from "./temporary-directory.ts";

test("no call is served with a token that has ended: tokens in memory", async () => {
  const database = await openSqlite({ path: ":memory:" });
  const { isAtOnce } = await floodWhileTokensEnd(database, database, 24);
  expect(isAtOnce).toBe(true);
  await database.close();
});

test("no call is served with a token that has ended: two connections to one file", async () => {
  const path = `${temporaryDirectory()}/tokens.sqlite`;
  const databases = [
    await openSqlite({ path, lock: "shared" }),
    await openSqlite({ path, lock: "shared" }),
  ] as const;
  const { isAtOnce } = await floodWhileTokensEnd(databases[0], databases[1], 15);
  expect(isAtOnce).toBe(false);
  await Promise.all(databases.map((database) => database.close()));
});
