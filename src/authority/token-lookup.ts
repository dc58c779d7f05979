import type { TokenDigest } from "../policy/token.ts";
import type { Refusal } from "../policy/verifier.ts";
import { type AuthorityClock, readClock } from "./authority-clock.ts";
import { createRecentTokens } from "./recent-tokens.ts";
import { createRemovedTokens } from "./removed-tokens.ts";
import type { AnySqlDatabase } from "./sql-database.ts";
import { SqlError } from "./sql-error.ts";
import { type TokenMap, tokenMapOf } from "./token-map.ts";
import type { TokenRecord, TokenTables } from "./token-table.ts";
import { findToken } from "./token-table.ts";

/** A token that is stored, live or not. */
export interface FoundToken {
  readonly runId: bigint;
  /** Whether its time is over. */
  readonly isExpired: boolean;
}

/**
 * How stored tokens are found: in memory, where nobody else changes them; else
 * in the database. What this process changes is to be told here, in the turn in
 * which it is committed.
 */
export interface TokenLookup {
  /** Finds a token, or why it is gone, as far as this process knows. */
  find(digest: TokenDigest): Promise<FoundToken | Refusal | undefined>;
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
      find: async (digest) => findInMap(tokens, digest) ?? removed.find(digest),
      put: tokens.put,
      remove({ runId, digest }, reason) {
        tokens.remove(runId);
        removed.note(digest, reason);
      },
    };
  }

  const recent = staleMs === 0 ? undefined : createRecentTokens(staleMs);
  return {
    async find(digest) {
      const known = recent?.find(digest);
      if (known !== undefined) {
        return { runId: known.runId, isExpired: false };
      }
      const answered = recent?.asking();
      const found = await ask(digest).catch((error: unknown) => {
        if (error instanceof SqlError && error.reason === "unavailable") {
          // A connection may have gone since it was last used: that must cost no app its run.
          return ask(digest);
        }
        throw error;
      });
      if (found === undefined) {
        return removed.find(digest);
      }
      answered?.(found);
      return { runId: found.runId, isExpired: found.remainingMs < 0 };
    },
    put() {},
    remove({ digest }, reason) {
      recent?.forget(digest);
      removed.note(digest, reason);
    },
  };

  function ask(digest: TokenDigest) {
    const { query } = database.withTables<TokenTables>();
    return findToken(query, digest, clock.instant());
  }

  function findInMap(tokens: TokenMap, digest: TokenDigest): FoundToken | undefined {
    if (!database.isOpen) {
      throw new Error("the database is closed");
    }
    const record = tokens.find(digest);
    return (
      record && { runId: record.runId, isExpired: record.activeUntilMs < readClock(clock.now) }
    );
  }
}
