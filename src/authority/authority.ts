import { randomBytes } from "node:crypto";
import type { Token, TokenDigest } from "../policy/token.ts";
import { digestToken, parseToken } from "../policy/token.ts";
import type { Refusal, StoreUnavailable } from "../policy/verifier.ts";
import { isRefusal, isStoreUnavailable, refusal } from "../policy/verifier.ts";
import { askingTimeMs } from "./ask-store.ts";
import { createAuthorityClock } from "./authority-clock.ts";
import { digestOfIssued, issuedTokenLength } from "./issued-digest.ts";
import { migrate } from "./migrate.ts";
import type { AnySqlDatabase, AnySqlTransaction, SqlTransaction } from "./sql-database.ts";
import type { LookedUp } from "./token-lookup.ts";
import { createTokenLookup } from "./token-lookup.ts";
import type { TokenTables } from "./token-table.ts";
import {
  claimToken,
  extendToken,
  removeExpiredTokens,
  removeToken,
  tokenSchema,
} from "./token-table.ts";

/** What a token proves about its bearer. */
export interface TokenClaims {
  /** The run that the token was issued for. */
  readonly runId: bigint;
  /** The digest of the token, by which {@link Authority.extend} finds it. */
  readonly tokenDigest: TokenDigest;
}

/**
 * What an authority says of a token: the claims of a live one; a refusal with
 * the reason `expired` or `revoked`, as far as it is known; undefined for an
 * unknown one; or that its database is closed or out of reach.
 */
export type TokenAnswer = TokenClaims | Refusal | StoreUnavailable | undefined;

/** A token whose time is over. */
export interface ExpiredToken {
  /** The run that it was issued for. */
  readonly runId: bigint;
  /** The last instant at which it was good, in milliseconds since the epoch. */
  readonly expiredAt: number;
}

/**
 * What issues, verifies, extends, expires and revokes the tokens of runs. A run
 * has at most one live token. A token is live up to and including the instant
 * stored with it; every operation decides that against the clock, so nothing
 * depends on when expired tokens are removed.
 *
 * The operations that change something take a transaction of the same
 * database; without one they make their own. What they change in a transaction
 * counts for {@link Authority.verify} from its commit on.
 */
export interface Authority {
  /**
   * Issues a token for a run: 128 random bytes as 256 hexadecimal characters.
   * It is returned here and kept nowhere; the database holds its digest.
   * Replaces an expired token: whoever acts on expiry asks
   * {@link Authority.takeExpired} first, in the same transaction.
   *
   * Returns undefined if the run holds a live token, and for run 0, which is
   * what an unset id looks like on the wire. Does not know which runs exist.
   *
   * @throws RangeError if the id has more than 64 bits or is negative.
   */
  issue(runId: bigint, tx?: AnySqlTransaction): Promise<Token | undefined>;
  /**
   * Tells whose token it is. A database that is out of reach is asked again for
   * up to 2.5 s.
   *
   * @throws when the database fails in a way that does not pass: nothing is proved then.
   */
  verify(token: string): Promise<TokenAnswer>;
  /**
   * {@link Authority.verify}, as the guard takes it: it answers at once where
   * the tokens are in memory, and goes on asking a database that is out of reach
   * for half of the time that it is given.
   */
  readonly verifier: (
    presented: string,
    call?: { readonly timeoutMs: number },
  ) => TokenAnswer | Promise<TokenAnswer>;
  /**
   * The heartbeat: the token is good for `extendedTtlMs` from this instant.
   * Returns false, and changes nothing, if the token is unknown or has expired.
   */
  extend(digest: TokenDigest, tx?: AnySqlTransaction): Promise<boolean>;
  /** Removes the token of a run, live or expired. Returns false if it has none. */
  revoke(runId: bigint, tx?: AnySqlTransaction): Promise<boolean>;
  /** Removes and returns the expired tokens, each of them to one caller only. */
  takeExpired(tx?: AnySqlTransaction): Promise<ExpiredToken[]>;
}

/** How to create an authority. */
export interface AuthorityOptions {
  /** Where the digests are kept, in a table of the authority's own. */
  readonly database: AnySqlDatabase;
  /**
   * The clock, in milliseconds since the epoch. Default: this machine's on
   * SQLite; the server's on PostgreSQL, so that all processes agree on what has
   * expired. Another clock must be the same for all of them.
   */
  readonly now?: () => number;
  /**
   * On a database that other processes change too: for how long a token counts
   * as good after it was found to be, in milliseconds, without asking again. That
   * is how long a token lives on that another process has revoked. Default: 0,
   * every verification asks.
   */
  readonly staleMs?: number;
  /** Life of a token from its issue, in milliseconds. Default: 30,000 (Flower's HEARTBEAT_DEFAULT_INTERVAL). */
  readonly firstTtlMs?: number;
  /** Life of a token from each heartbeat, in milliseconds. Default: 60,000 (twice the interval). */
  readonly extendedTtlMs?: number;
}

const tokenBytes = issuedTokenLength / 2;
/** What the guard gives a verifier by default, in milliseconds. */
const defaultTimeoutMs = 5_000;

const expired = refusal("expired");
const revoked = refusal("revoked");

/**
 * Creates the authority's table if the database lacks it, and the authority.
 * If the database is this process's own, its tokens are kept in memory too, and
 * verifying one asks nothing else.
 *
 * @throws TypeError if an option is wrong, or what the database throws.
 */
export async function createAuthority(options: AuthorityOptions): Promise<Authority> {
  const { database, now } = options;
  const firstTtlMs = checkTtl("firstTtlMs", options.firstTtlMs ?? 30_000);
  const extendedTtlMs = checkTtl("extendedTtlMs", options.extendedTtlMs ?? 60_000);
  if (now !== undefined && typeof now !== "function") {
    throw new TypeError('"now" must be a function that returns milliseconds since the epoch');
  }
  const staleMs = options.staleMs ?? 0;
  if (!Number.isSafeInteger(staleMs) || staleMs < 0) {
    throw new TypeError('"staleMs" must be a whole number of milliseconds, 0 or more');
  }

  await migrate(database, tokenSchema);
  const clock = createAuthorityClock(database, now);
  const tokens = await createTokenLookup(database, clock, staleMs);

  async function change<T>(
    tx: AnySqlTransaction | undefined,
    work: (tx: SqlTransaction<TokenTables>) => Promise<T>,
  ): Promise<T> {
    if (tx === undefined) {
      return database.withTables<TokenTables>().transaction(work);
    }
    if (tx.database !== database) {
      throw new TypeError('"tx" must be a transaction of the authority\'s database');
    }
    return work(tx.withTables<TokenTables>());
  }

  function verifier(
    presented: string,
    { timeoutMs } = { timeoutMs: defaultTimeoutMs },
  ): TokenAnswer | Promise<TokenAnswer> {
    const digest = digestOfIssued(presented);
    if (digest === undefined) {
      return undefined;
    }
    const found = tokens.find(digest, askingTimeMs(timeoutMs));
    return found instanceof Promise
      ? found.then((later) => answerTo(digest, later))
      : answerTo(digest, found);
  }

  return {
    async issue(runId, tx) {
      if (runId === 0n) {
        return undefined;
      }
      const token = parseToken(randomBytes(tokenBytes).toString("hex"));
      const digest = digestToken(token);
      return change(tx, async ({ query, afterCommit }) => {
        const claim = { now: clock.instant(), ttlMs: firstTtlMs };
        const record = await claimToken(query, { runId, digest }, claim);
        if (record === undefined) {
          return undefined;
        }
        afterCommit(() => tokens.put(record));
        return token;
      });
    },
    verify: async (token) => verifier(token),
    verifier,
    extend: (digest, tx) =>
      change(tx, async ({ query, afterCommit }) => {
        const extension = { now: clock.instant(), ttlMs: extendedTtlMs };
        const record = await extendToken(query, digest, extension);
        if (record === undefined) {
          return false;
        }
        afterCommit(() => tokens.put(record));
        return true;
      }),
    revoke: (runId, tx) =>
      change(tx, async ({ query, afterCommit }) => {
        const record = await removeToken(query, runId);
        if (record === undefined) {
          return false;
        }
        afterCommit(() => tokens.remove(record, revoked));
        return true;
      }),
    takeExpired: (tx) =>
      change(tx, async ({ query, afterCommit }) => {
        const records = await removeExpiredTokens(query, clock.instant());
        afterCommit(() => {
          for (const record of records) {
            tokens.remove(record, expired);
          }
        });
        return records.map(({ runId, activeUntilMs }) => ({ runId, expiredAt: activeUntilMs }));
      }),
  };
}

function answerTo(tokenDigest: TokenDigest, found: LookedUp): TokenAnswer {
  if (found === undefined || isRefusal(found) || isStoreUnavailable(found)) {
    return found;
  }
  return found.isExpired ? expired : { runId: found.runId, tokenDigest };
}

function checkTtl(option: string, ttlMs: number): number {
  if (!Number.isSafeInteger(ttlMs) || ttlMs <= 0) {
    throw new TypeError(`"${option}" must be a positive whole number of milliseconds`);
  }
  return ttlMs;
}
