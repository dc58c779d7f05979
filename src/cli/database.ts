import type { AnySqlDatabase } from "../authority/sql-database.ts";
import { CommandError } from "./exit-code.ts";

/** Environment variable that says where the state is, in the place of `--database`: it may hold a password. */
export const databaseVariable = "COUNTERSIGN_DATABASE";

/** Environment variables with secrets of the state, which no child process is to have. */
export const databaseSecretVariables: readonly string[] = [databaseVariable, "PGPASSWORD"];

/** Where the state is, and how that was said. */
export interface DatabaseSource {
  /** Path of a SQLite file, `:memory:`, or a URL of PostgreSQL. */
  readonly place: string;
  /** Whether it was an argument, which others on the machine can read. */
  readonly isArgument: boolean;
}

/**
 * Opens the database of a SuperLink.
 *
 * @throws CommandError when an argument holds a password, or PostgreSQL's driver is not installed; what the database
 * throws when it cannot be opened
 */
export async function openDatabase({ place, isArgument }: DatabaseSource): Promise<AnySqlDatabase> {
  if (!/^postgres(?:ql)?:/.test(place)) {
    const { openSqlite } = await import("../authority/sqlite.ts");
    return openSqlite({ path: place });
  }
  if (isArgument && hasPassword(place)) {
    throw new CommandError(
      `Others can read arguments: give the database's password by PGPASSWORD, or its URL by ${databaseVariable}.`,
    );
  }
  const { openPostgres } = await import("../authority/postgres.ts");
  return openPostgres({ driver: await importDriver(), connectionString: place });
}

function hasPassword(place: string): boolean {
  // What is no URL is refused later, by the driver.
  const url = URL.canParse(place) ? new URL(place) : undefined;
  return url !== undefined && (url.password !== "" || url.searchParams.has("password"));
}

async function importDriver() {
  try {
    return (await import("pg")).default;
  } catch (cause) {
    throw new CommandError("PostgreSQL needs the npm package pg: npm install pg", { cause });
  }
}
