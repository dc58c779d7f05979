import { randomBytes } from "node:crypto";
import type { Token, TokenDigest } from "../policy/token.ts";
import { digestToken, isToken, parseToken } from "../policy/token.ts";
import type { Refusal } from "../policy/verifier.ts";
import { refusal } from "../policy/verifier.ts";
import { migrate } from "./migrate.ts";
import { createRemovedTokens } from "./removed-tokens.ts";
import type { AnySqlDatabase, AnySqlTransaction, SqlTransaction } from "./sql-database.ts";
import { tokenMapOf } from "./token-map.ts";
import type { TokenRecord, TokenTables } from "./token-table.ts";
import {
  claimToken,
  extendToken,
  findToken,
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
   * Tells whose token it is; a refusal with the reason `expired` or `revoked`,
   * as far as it is known; or undefined.
   *
   * @throws when the database fails or is closed: nothing is proved then.
   */
  verify(token: string): Promise<TokenClaims | Refusal | undefined>;
  /** {@link Authority.verify}, as the guard takes it. */
  readonly verifier: (presented: string) => Promise<TokenClaims | Refusal | undefined>;
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
  /** The clock, in milliseconds since the epoch. Default: `Date.now`. */
  readonly now?: () => number;
  /** Life of a token from its issue, in milliseconds. Default: 30,000 (Flower's HEARTBEAT_DEFAULT_INTERVAL). */
  readonly firstTtlMs?: number;
  /** Life of a token from each heartbeat, in milliseconds. Default: 60,000 (twice the interval). */
  readonly extendedTtlMs?: number;
}

const tokenBytes = 128;
const issuedForm = /^[0-9a-f]{256}$/;
const rememberedRemovals = 1_000;

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
  const { database, now = Date.now } = options;
  const firstTtlMs = checkTtl("firstTtlMs", options.firstTtlMs ?? 30_000);
  const extendedTtlMs = checkTtl("extendedTtlMs", options.extendedTtlMs ?? 60_000);
  if (typeof now !== "function") {
    throw new TypeError('"now" must be a function that returns milliseconds since the epoch');
  }

  await migrate(database, tokenSchema);
  const map = database.exclusive ? await tokenMapOf(database) : undefined;
  const { query } = database.withTables<TokenTables>();
  const removed = createRemovedTokens(rememberedRemovals);

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

  async function find(digest: TokenDigest): Promise<TokenRecord | undefined> {
    if (map === undefined) {
      return findToken(query, digest);
    }
    if (!database.isOpen) {
      throw new Error("the database is closed");
    }
    return map.find(digest);
  }

  function forget({ runId, digest }: TokenRecord, reason: Refusal): void {
    map?.remove(runId);
    removed.note(digest, reason);
  }

  async function verify(token: string): Promise<TokenClaims | Refusal | undefined> {
    if (!isToken(token) || !issuedForm.test(token)) {
      return undefined;
    }
    const tokenDigest = digestToken(token);
    const record = await find(tokenDigest);
    if (record === undefined) {
      return removed.find(tokenDigest);
    }
    if (record.activeUntilMs < readClock(now)) {
      return expired;
    }
    return { runId: record.runId, tokenDigest };
  }

  return {
    async issue(runId, tx) {
      if (runId === 0n) {
        return undefined;
      }
      const token = parseToken(randomBytes(tokenBytes).toString("hex"));
      const digest = digestToken(token);
      return change(tx, async ({ query, afterCommit }) => {
        const nowMs = readClock(now);
        const record = { runId, digest, activeUntilMs: nowMs + firstTtlMs };
        if (!(await claimToken(query, record, nowMs))) {
          return undefined;
        }
        afterCommit(() => map?.put(record));
        return token;
      });
    },
    verify,
    verifier: (presented) => verify(presented),
    extend: (digest, tx) =>
      change(tx, async ({ query, afterCommit }) => {
        const nowMs = readClock(now);
        const activeUntilMs = nowMs + extendedTtlMs;
        const record = await extendToken(query, digest, { nowMs, activeUntilMs });
        if (record === undefined) {
          return false;
        }
        afterCommit(() => map?.put(record));
        return true;
      }),
    revoke: (runId, tx) =>
      change(tx, async ({ query, afterCommit }) => {
        const record = await removeToken(query, runId);
        if (record === undefined) {
          return false;
        }
        afterCommit(() => forget(record, revoked));
        return true;
      }),
    takeExpired: (tx) =>
      change(tx, async ({ query, afterCommit }) => {
        const records = await removeExpiredTokens(query, readClock(now));
        afterCommit(() => {
          for (const record of records) {
            forget(record, expired);
          }
        });
        return records.map(({ runId, activeUntilMs }) => ({ runId, expiredAt: activeUntilMs }));
      }),
  };
}

/** A clock that returns NaN would make every comparison false, so it is an error and not an instant. */
function readClock(now: () => number): number {
  const nowMs = Math.trunc(now());
  if (!Number.isSafeInteger(nowMs)) {
    throw new Error("the clock must return milliseconds since the epoch");
  }
  return nowMs;
}

function checkTtl(option: string, ttlMs: number): number {
  if (!Number.isSafeInteger(ttlMs) || ttlMs <= 0) {
    throw new TypeError(`"${option}" must be a positive whole number of milliseconds`);
  }
  return ttlMs;
}
