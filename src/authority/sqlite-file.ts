import { accessSync, closeSync, constants, existsSync, openSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as delay } from "node:timers/promises";

/** How long one process waits for another one's transaction, in milliseconds. */
const busyTimeoutMs = 5_000;
const retryPauseMs = 20;

/**
 * How much of a file SQLite keeps in memory, in KiB. Of its own it keeps 2 MiB,
 * and a transaction that changes more than that goes through the file again and
 * again: tens of thousands of rows under random keys took more than twice as long.
 */
const cacheKib = 65_536;

/**
 * Bytes per page of a new file. An object goes through the log, and from there
 * into the file, page by page, so it takes half as many calls of the system as
 * with SQLite's own 4 KiB. A small change writes some whole pages: a heartbeat
 * costs a few microseconds more, with 16 KiB three times as many more.
 */
const pageBytes = 8_192;

/**
 * How long the log grows before it is carried over into the file, and the disk
 * waited for: SQLite's 1,000 pages, of its own 4 KiB. A power failure can take
 * what has been committed since then.
 */
const logBytes = 4_096_000;

/** SQLite's result code for a lock that another connection holds (SQLITE_BUSY). */
const sqliteBusy = 5;

/**
 * Opens a file (or `:memory:`) and takes it for this process.
 *
 * @throws Error naming the file, at once, if any other connection has it open.
 */
export async function openExclusive(path: string): Promise<DatabaseSync> {
  return openWith(path, (database) => {
    // Before the first access: SQLite then keeps the lock it takes, and needs no shared memory for the log.
    database.exec("PRAGMA locking_mode = EXCLUSIVE");
    configure(database, path);
    database.exec("BEGIN EXCLUSIVE; COMMIT");
  });
}

/** Opens a file that several processes use. Waits up to 5 s for one that is just setting it up. */
export async function openShared(path: string): Promise<DatabaseSync> {
  // Changing to WAL does not wait for locks as statements do, so it is tried again here.
  const tries = busyTimeoutMs / retryPauseMs;
  for (let attempt = 1; ; attempt++) {
    try {
      return openWith(path, (database) => configure(database, path));
    } catch (error) {
      if (attempt >= tries || !(error instanceof Error && isBusy(error.cause))) {
        throw error;
      }
    }
    await delay(retryPauseMs);
  }
}

function configure(database: DatabaseSync, path: string): void {
  // Before the first page is written; a file that is there already keeps its size.
  database.exec(`PRAGMA page_size = ${pageBytes}`);
  const mode = database.prepare("PRAGMA journal_mode = WAL").get()?.journal_mode;
  if (mode !== "wal" && path !== ":memory:") {
    throw new Error("its file system has no write-ahead log (WAL)");
  }
  // NORMAL loses no consistency in WAL mode, and no committed change but by a power failure.
  database.exec("PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON");
  database.exec(`PRAGMA busy_timeout = ${busyTimeoutMs}`);
  // A negative number is in KiB.
  database.exec(`PRAGMA cache_size = ${-cacheKib}`);
  const bytes = Number(database.prepare("PRAGMA page_size").get()?.page_size);
  database.exec(`PRAGMA wal_autocheckpoint = ${Math.floor(logBytes / bytes)}`);
}

function openWith(path: string, prepare: (database: DatabaseSync) => void): DatabaseSync {
  let database: DatabaseSync | undefined;
  try {
    createForOwner(path);
    database = new DatabaseSync(path);
    prepare(database);
    return database;
  } catch (error) {
    database?.close();
    throw new Error(`cannot open the database ${path}: ${reasonOf(error)}`, { cause: error });
  }
}

/**
 * Creates a file that nobody else can read: it holds configurations, logs and
 * models. SQLite gives its other files the mode of this one.
 *
 * @throws Error if the file cannot be written: SQLite itself opens it all the
 * same, and speaks of an I/O error later.
 */
function createForOwner(path: string): void {
  if (path === ":memory:") {
    return;
  }
  if (existsSync(path)) {
    accessSync(path, constants.R_OK | constants.W_OK);
  } else {
    closeSync(openSync(path, "a", 0o600));
  }
}

function reasonOf(error: unknown): string {
  if (isBusy(error)) {
    return "another process has it open (a file belongs to one, unless all open it as shared)";
  }
  return error instanceof Error ? error.message : "unknown error";
}

/** Tells a lock held by others from other errors of node:sqlite; extended codes have the plain one in their low byte. */
function isBusy(error: unknown): boolean {
  return (
    error instanceof Error &&
    "errcode" in error &&
    typeof error.errcode === "number" &&
    (error.errcode & 0xff) === sqliteBusy
  );
}
