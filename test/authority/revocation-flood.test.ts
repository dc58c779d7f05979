import { test } from "vitest";
import { openSqlite } from "../../src/authority/index.ts";
import { floodWhileTokensEnd } from "./revocation-flood.ts";
import { temporaryDirectory } from "./temporary-directory.ts";

test("no call is served with a token that has ended: tokens in memory", async () => {
  const database = await openSqlite({ path: ":memory:" });
  await floodWhileTokensEnd(database, database, 24);
  await database.close();
});

test("no call is served with a token that has ended: two connections to one file", async () => {
  const path = `${temporaryDirectory()}/tokens.sqlite`;
  const databases = [
    await openSqlite({ path, lock: "shared" }),
    await openSqlite({ path, lock: "shared" }),
  ] as const;
  await floodWhileTokensEnd(databases[0], databases[1], 15);
  await Promise.all(databases.map((database) => database.close()));
});
