import type { Token, TokenDigest } from "../policy/token.ts";
import type { Refusal } from "../policy/verifier.ts";
import type { AnySqlDatabase, AnySqlTransaction } from "./sql-database.ts";

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
  /** The instant it was good until, in milliseconds since the epoch. */
  readonly expiredAt: number;
}

/** What issues, verifies, extends, expires and revokes the tokens of runs. */
export interface Authority {
  issue(runId: bigint, tx?: AnySqlTransaction): Promise<Token | undefined>;
  verify(token: string): Promise<TokenClaims | Refusal | undefined>;
  readonly verifier: (presented: string) => Promise<TokenClaims | Refusal | undefined>;
  extend(digest: TokenDigest, tx?: AnySqlTransaction): Promise<boolean>;
  revoke(runId: bigint, tx?: AnySqlTransaction): Promise<boolean>;
  takeExpired(tx?: AnySqlTransaction): Promise<ExpiredToken[]>;
}

/** How to create an authority. */
export interface AuthorityOptions {
  /** Where the digests are kept, in a table of the authority's own. */
  readonly database: AnySqlDatabase;
  /** The clock, in milliseconds since the epoch. Default: `Date.now`. */
  readonly now?: () => number;
  /** Life of a token from its issue, in milliseconds. Default: 30,000. */
  readonly firstTtlMs?: number;
  /** Life of a token from each heartbeat, in milliseconds. Default: 60,000. */
  readonly extendedTtlMs?: number;
}

/** Creates the table if it is not there, reads what it must know, and returns the authority. */
export async function createAuthority(options: AuthorityOptions): Promise<Authority> {
  throw new Error(`not built yet: ${options.database.engine}`);
}
