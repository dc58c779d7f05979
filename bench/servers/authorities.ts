import { sql } from "kysely";
import pg from "pg";
import { createAuthority } from "../../src/authority/authority.ts";
import { migrate } from "../../src/authority/migrate.ts";
import { openPostgres } from "../../src/authority/postgres.ts";
import type { SqlDatabase } from "../../src/authority/sql-database.ts";
import { openSqlite } from "../../src/authority/sqlite.ts";
import { type TokenTables, tokenSchema } from "../../src/authority/token-table.ts";
import type { Token } from "../../src/policy/token.ts";
import { clusterUser } from "../../test/postgres/cluster.ts";
import { runId } from "./answers.ts";

/** An authority that holds the run's token, and other live ones. */
export interface FilledAuthority {
  readonly token: Token;
  readonly verifier: Awaited<ReturnType<typeof createAuthority>>["verifier"];
}

/** Longer than a benchmark takes, in milliseconds: nobody sends heartbeats. */
const ttlMs = 24 * 60 * 60 * 1000;

/** Opens an authority on a SQLite file with this many live tokens. */
export async function openSqliteAuthority(
  path: string,
  liveTokens: number,
): Promise<FilledAuthority> {
  const database = await openSqlite<TokenTables>({ path });
  await migrate(database, tokenSchema);
  await addLiveTokens(database, liveTokens - 1);
  return openAuthority(database);
}

/** Opens an authority with one token on a PostgreSQL server that listens on a socket in a directory. */
export async function openPostgresAuthority(host: string): Promise<FilledAuthority> {
  const config = { host, user: clusterUser, database: "postgres" };
  return openAuthority(await openPostgres<TokenTables>({ driver: pg, config }));
}

async function openAuthority(database: SqlDatabase<TokenTables>): Promise<FilledAuthority> {
  const authority = await createAuthority({ database, firstTtlMs: ttlMs });
  const token = await authority.issue(runId);
  if (token === undefined) throw new Error("the run has a token already");
  return { token, verifier: authority.verifier };
}

/** Adds tokens of further runs, straight into the table: a million of them one by one takes minutes. */
async function addLiveTokens({ query }: SqlDatabase<TokenTables>, count: number): Promise<void> {
  const activeUntilMs = BigInt(Date.now() + ttlMs);
  await sql`
    with recursive run (id) as (
      select 1 where ${BigInt(count)} > 0
      union all
      select id + 1 from run where id < ${BigInt(count)}
    )
    insert into token (run_id, digest, active_until_ms)
    select id, lower(hex(randomblob(32))), ${activeUntilMs} from run
  `.execute(query);
}
