export type {
  Authority,
  AuthorityOptions,
  ExpiredToken,
  TokenAnswer,
  TokenClaims,
} from "./authority.ts";
export { createAuthority } from "./authority.ts";
export type { SqlSchema } from "./migrate.ts";
export { migrate } from "./migrate.ts";
export type { PostgresOptions } from "./postgres.ts";
export { openPostgres } from "./postgres.ts";
export type { PostgresDriver } from "./postgres-driver.ts";
export type {
  AnySqlDatabase,
  AnySqlTransaction,
  SqlDatabase,
  SqlEngine,
  SqlTransaction,
} from "./sql-database.ts";
export type { SqlErrorReason } from "./sql-error.ts";
export { SqlError } from "./sql-error.ts";
export type { SqlUint64 } from "./sql-integer.ts";
export { fromSqlInteger, toSqlInteger } from "./sql-integer.ts";
export type { SqliteOptions } from "./sqlite.ts";
export { openSqlite } from "./sqlite.ts";
