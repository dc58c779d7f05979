import type { TokenDigest } from "../policy/token.ts";
import { type Refusal, type StoreUnavailable, storeUnavailable } from "../policy/verifier.ts";
import { askStore } from "./ask-store.ts";
import { type AuthorityClock, readClock } from "./authority-clock.ts";
import type { PackedTokens } from "./packed-tokens.ts";
import { createRecentTokens } from "./recent-tokens.ts";
import { createRemovedTokens } from "./removed-tokens.ts";
import type { AnySqlDatabase } from "./sql-database.ts";
import { tokenMapOf } from "./token-map.ts";
import type { TokenRecord, TokenTables } from "./token-table.ts";
import { findToken } from "./token-table.ts";

/** A token that is stored, live or not. */
export interface FoundToken {
  readonly runId: bigint;
  /** Whether its time is over. */
  readonly isExpired: boolean;
}

/** What a lookup comes to. */
export type LookedUp = FoundToken | Refusal | StoreUnavailable | undefined;

/**
 * How stored tokens are found: in memory, where nobody else changes them; else
 * in the database. What this process changes is to be told here, in the turn in
 * which it is committed.
 */
export interface TokenLookup {
  /**
   * Finds a token, or why it is gone, as far as this process knows; or says that
   * the database is out of reach. At once where the tokens are in memory.
   *
   * @param timeoutMs how long to go on asking a database that is out of reach.
   */
  find(digest: TokenDigest, timeoutMs: number): LookedUp | Promise<LookedUp>;
  /** A run has got this token in the place of any other, or it has got more time. */
  put(record: TokenRecord): void;
  /** A token was removed. */
  remove(record: TokenRecord, reason: Refusal): void;
}

const rememberedRemovals = 1_000;

/** Creates the lookup of a database that has the table; `staleMs` as in `AuthorityOptions`. */
export async function createTokenLookup(
  database: AnySqlDatabase,
  clock: AuthorityClock,
  staleMs: number,
): Promise<TokenLookup> {
  const removed = createRemovedTokens(rememberedRemovals);
  if (database.exclusive) {
    const tokens = await tokenMapOf(database);
    return {
      find: (digest) =>
        database.isOpen ? (findInMap(tokens, digest) ?? removed.find(digest)) : closed(),
      put: (record) => tokens.put(record),
      remove({ runId, digest }, reason) {
        tokens.remove(runId);
        removed.note(digest, reason);
      },
    };
  }

  const recent = staleMs === 0 ? undefined : createRecentTokens(staleMs);
  return {
    find(digest, timeoutMs) {
      const known = recent?.find(digest);
      if (known !== undefined) {
        return { runId: known.runId, isExpired: false };
      }
      return database.isOpen ? askStore(() => findInDatabase(digest), { timeoutMs }) : closed();
    },
    put() {},
    remove({ digest }, reason) {
      recent?.forget(digest);
      removed.note(digest, reason);
    },
  };

  async function findInDatabase(digest: TokenDigest): Promise<FoundToken | Refusal | undefined> {
    const answered = recent?.asking();
    const { query } = database.withTables<TokenTables>();
    const found = await findToken(query, digest, clock.instant());
    if (found === undefined) {
      return removed.find(digest);
    }
    answered?.(found);
    return { runId: found.runId, isExpired: found.remainingMs < 0 };
  }

  function findInMap(tokens: PackedTokens, digest: TokenDigest): FoundToken | undefined {
    const record = tokens.find(digest);
    return (
      record && { runId: record.runId, isExpired: record.activeUntilMs < readClock(clock.now) }
    );
  }
}

function closed(): StoreUnavailable {
  return storeUnavailable(new Error("the database is closed"));
}
