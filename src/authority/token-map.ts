import { PackedTokens } from "./packed-tokens.ts";
import type { AnySqlDatabase } from "./sql-database.ts";
import type { TokenTables } from "./token-table.ts";
import { readTokens } from "./token-table.ts";

/** All authorities on one database see one map: each would miss what another one revokes. */
const maps = new WeakMap<AnySqlDatabase, Promise<PackedTokens>>();

/**
 * Returns the token table in memory, of a database that only this process
 * changes; reads it when it is asked for first. Changes are to reach it in the turn
 * in which they are committed, so that it never knows more or less than the table.
 */
export function tokenMapOf(database: AnySqlDatabase): Promise<PackedTokens> {
  let map = maps.get(database);
  if (map === undefined) {
    map = readTokenMap(database);
    maps.set(database, map);
    map.catch(() => maps.delete(database));
  }
  return map;
}

async function readTokenMap(database: AnySqlDatabase): Promise<PackedTokens> {
  const tokens = new PackedTokens();
  await database.withTables<TokenTables>().transaction(async ({ query }) => {
    for await (const page of readTokens(query)) {
      for (const record of page) {
        tokens.put(record);
      }
    }
  });
  return tokens;
}
