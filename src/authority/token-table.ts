import type { Kysely } from "kysely";
import { sql } from "kysely";
import type { TokenDigest } from "../policy/token.ts";
import type { SqlInstant } from "./authority-clock.ts";
import type { SqlSchema } from "./migrate.ts";
import type { SqlUint64 } from "./sql-integer.ts";
import { fromSqlInteger, toSqlInteger } from "./sql-integer.ts";

/** The authority's table: at most one token per run. */
export interface TokenTables {
  readonly token: {
    readonly run_id: SqlUint64;
    readonly digest: TokenDigest;
    /** The last millisecond since the epoch at which the token is good. */
    readonly active_until_ms: bigint;
  };
}

/** How the table came to be what it is. */
export const tokenSchema: SqlSchema = {
  name: "authority",
  migrations: {
    "0001_token": {
      async up(query) {
        await query.schema
          .createTable("token")
          .addColumn("run_id", "bigint", (column) => column.primaryKey())
          .addColumn("digest", "text", (column) => column.notNull().unique())
          .addColumn("active_until_ms", "bigint", (column) => column.notNull())
          .execute();
        await query.schema
          .createIndex("token_by_active_until")
          .on("token")
          .column("active_until_ms")
          .execute();
      },
    },
  },
};

/** One row: what is known about a token, without the token. */
export interface TokenRecord {
  readonly runId: bigint;
  readonly digest: TokenDigest;
  /** The last millisecond since the epoch at which the token is good. */
  readonly activeUntilMs: number;
}

type Query = Kysely<TokenTables>;
type Row = TokenTables["token"];

/**
 * Gives the run its token for `ttlMs` from now on, unless it holds one that is
 * live. One statement decides, so of any number of claims at once exactly one
 * succeeds; the others get undefined.
 */
export async function claimToken(
  query: Query,
  { runId, digest }: Pick<TokenRecord, "runId" | "digest">,
  { now, ttlMs }: { now: SqlInstant; ttlMs: number },
): Promise<TokenRecord | undefined> {
  const row = await query
    .insertInto("token")
    .values({
      run_id: toSqlInteger(runId),
      digest,
      active_until_ms: sql<bigint>`${now} + ${BigInt(ttlMs)}`,
    })
    .onConflict((conflict) =>
      conflict
        .column("run_id")
        .doUpdateSet((row) => ({
          digest: row.ref("excluded.digest"),
          active_until_ms: row.ref("excluded.active_until_ms"),
        }))
        .where("token.active_until_ms", "<", now),
    )
    .returningAll()
    .executeTakeFirst();
  return row && fromRow(row);
}

/** Moves the end of a token that is live to `ttlMs` from now; undefined if there is none, so nothing is revived. */
export async function extendToken(
  query: Query,
  digest: TokenDigest,
  { now, ttlMs }: { now: SqlInstant; ttlMs: number },
): Promise<TokenRecord | undefined> {
  const row = await query
    .updateTable("token")
    .set({ active_until_ms: sql<bigint>`${now} + ${BigInt(ttlMs)}` })
    .where("digest", "=", digest)
    .where("active_until_ms", ">=", now)
    .returningAll()
    .executeTakeFirst();
  return row && fromRow(row);
}

/** Removes the token of a run and returns it. */
export async function removeToken(query: Query, runId: bigint): Promise<TokenRecord | undefined> {
  const row = await query
    .deleteFrom("token")
    .where("run_id", "=", toSqlInteger(runId))
    .returningAll()
    .executeTakeFirst();
  return row && fromRow(row);
}

/** Removes and returns the tokens that have ended. */
export async function removeExpiredTokens(query: Query, now: SqlInstant): Promise<TokenRecord[]> {
  const rows = await query
    .deleteFrom("token")
    .where("active_until_ms", "<", now)
    .returningAll()
    .execute();
  return rows.map(fromRow);
}

/** Finds a token, and tells for how long it is good yet, in milliseconds: below 0 when it has ended. */
export async function findToken(
  query: Query,
  digest: TokenDigest,
  now: SqlInstant,
): Promise<(TokenRecord & { readonly remainingMs: number }) | undefined> {
  const row = await query
    .selectFrom("token")
    .selectAll()
    .select(sql<bigint>`active_until_ms - ${now}`.as("remaining_ms"))
    .where("digest", "=", digest)
    .executeTakeFirst();
  return row && { ...fromRow(row), remainingMs: Number(row.remaining_ms) };
}

/** How many tokens are read at once: a million of them as objects take half a gigabyte. */
const pageRows = 10_000;

/** Reads all tokens, live or not, page by page. In a transaction, lest they change between two pages. */
export async function* readTokens(query: Query): AsyncGenerator<TokenRecord[]> {
  const pages = query.selectFrom("token").selectAll().orderBy("run_id").limit(pageRows);
  let rows = await pages.execute();
  for (;;) {
    yield rows.map(fromRow);
    const last = rows.at(-1);
    if (last === undefined || rows.length < pageRows) {
      return;
    }
    rows = await pages.where("run_id", ">", last.run_id).execute();
  }
}

function fromRow(row: Row): TokenRecord {
  return {
    runId: fromSqlInteger(row.run_id),
    digest: row.digest,
    activeUntilMs: Number(row.active_until_ms),
  };
}
