import type { TokenDigest } from "../policy/token.ts";
import type { AnySqlDatabase } from "./sql-database.ts";
import type { TokenRecord, TokenTables } from "./token-table.ts";
import { readTokens } from "./token-table.ts";

/**
 * The token table in memory, for a database that only this process changes.
 * Changes are to reach it in the turn in which they are committed, so that it
 * never knows more or less than the table.
 */
export interface TokenMap {
  /** Finds a token, live or not. */
  find(digest: TokenDigest): TokenRecord | undefined;
  /** Sets the one token of a run. */
  put(record: TokenRecord): void;
  /** Forgets the token of a run. */
  remove(runId: bigint): void;
}

/** All authorities on one database see one map: each would miss what another one revokes. */
const maps = new WeakMap<AnySqlDatabase, Promise<TokenMap>>();

/** Returns the map of a database, reading the table when it is asked for first. */
export function tokenMapOf(database: AnySqlDatabase): Promise<TokenMap> {
  let map = maps.get(database);
  if (map === undefined) {
    map = readTokenMap(database);
    maps.set(database, map);
    map.catch(() => maps.delete(database));
  }
  return map;
}

async function readTokenMap(database: AnySqlDatabase): Promise<TokenMap> {
  const byDigest = new Map<TokenDigest, TokenRecord>();
  const byRun = new Map<bigint, TokenDigest>();

  function remove(runId: bigint): void {
    const digest = byRun.get(runId);
    if (digest !== undefined) {
      byRun.delete(runId);
      byDigest.delete(digest);
    }
  }

  function put(record: TokenRecord): void {
    // The token it replaces has expired, but would be live again if the clock were set back.
    remove(record.runId);
    byRun.set(record.runId, record.digest);
    byDigest.set(record.digest, record);
  }

  for (const record of await readTokens(database.withTables<TokenTables>().query)) {
    put(record);
  }
  return { find: (digest) => byDigest.get(digest), put, remove };
}
