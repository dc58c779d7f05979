import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { chownSync, existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

/** A PostgreSQL server of the tests' own. */
export interface PostgresCluster {
  /** Directory of its socket: the `host` of its databases. It listens nowhere else. */
  readonly host: string;
  /** Cuts its connections and ends it; its databases stay. */
  halt(): Promise<void>;
  /** Starts it again after {@link PostgresCluster.halt}; resolves when it takes connections. */
  resume(): Promise<void>;
  /** Stops it and removes its files. */
  stop(): Promise<void>;
}

/** Its user. Whoever reaches the socket is let in: the directory is closed to others. */
export const clusterUser = "postgres";

const startTimeoutMs = 30_000;

/**
 * Finds the folder of `initdb` and `postgres`: on the path, or where Debian
 * keeps them (the newest version).
 */
export function findPostgresBinaries(): string | undefined {
  const debian = "/usr/lib/postgresql";
  const versions = existsSync(debian) ? readdirSync(debian) : [];
  const candidates = [
    ...(process.env.PATH ?? "").split(delimiter),
    ...versions
      .toSorted((a, b) => Number(b) - Number(a))
      .map((version) => join(debian, version, "bin")),
  ];
  return candidates.find((folder) =>
    ["initdb", "postgres"].every((name) => existsSync(join(folder, name))),
  );
}

/**
 * Starts a server in a temporary directory. It ends with this process, on
 * Linux even if that is killed, and keeps nothing over a power failure.
 */
export async function startPostgresCluster(binaries: string): Promise<PostgresCluster> {
  const host = mkdtempSync(join(tmpdir(), "countersign-pg-"));
  // The two programs refuse to run as root.
  const asUser = process.getuid?.() === 0 ? userIds(clusterUser) : undefined;
  if (asUser !== undefined) {
    chownSync(host, asUser.uid, asUser.gid);
  }
  const data = join(host, "data");
  const settings = { ...asUser, cwd: host, env: { PATH: process.env.PATH ?? "", LC_ALL: "C" } };
  let server: ChildProcess | undefined;

  async function end(signal: NodeJS.Signals): Promise<void> {
    if (server !== undefined && server.exitCode === null && server.signalCode === null) {
      const exited = once(server, "exit");
      server.kill(signal);
      await exited;
    }
  }

  async function resume(): Promise<void> {
    const [command = "", ...args] = [
      // The kernel ends the server with the process that started it.
      ...(process.platform === "linux" ? ["setpriv", "--pdeathsig", "SIGQUIT"] : []),
      ...[join(binaries, "postgres"), "-D", data, ...serverSettings(host)],
    ];
    server = spawn(command, args, { ...settings, stdio: ["ignore", "ignore", "pipe"] });
    await isReady(server);
  }

  async function stop(): Promise<void> {
    // Immediate shutdown: nothing of it is kept.
    await end("SIGQUIT");
    rmSync(host, { recursive: true, force: true });
  }

  try {
    const initdb = ["-D", data, "-U", clusterUser, "-A", "trust", "-E", "UTF8", "--locale=C"];
    execFileSync(join(binaries, "initdb"), [...initdb, "--no-sync"], {
      ...settings,
      stdio: ["ignore", "ignore", "inherit"],
    });
    await resume();
  } catch (error) {
    await stop();
    throw error;
  }
  // Fast shutdown: without fsync an immediate one would lose what was committed last.
  return { host, halt: () => end("SIGINT"), resume, stop };
}

function serverSettings(host: string): string[] {
  return [
    ...["listen_addresses=", `unix_socket_directories=${host}`, "max_connections=200"],
    // Durability is not what is tested; a process that is killed loses nothing all the same.
    ...["fsync=off", "full_page_writes=off", "synchronous_commit=off", "autovacuum=off"],
    ...[
      "shared_buffers=64MB",
      "log_min_messages=log",
      "log_checkpoints=off",
      "deadlock_timeout=200ms",
    ],
  ].flatMap((setting) => ["-c", setting]);
}

/** Waits for the line that says so; rejects with what was said instead when the server ends. */
async function isReady(server: ChildProcess): Promise<void> {
  let said = "";
  const ready = new Promise<void>((resolve, reject) => {
    server.stderr?.setEncoding("utf8").on("data", (text: string) => {
      said = (said + text).slice(-10_000);
      if (said.includes("ready to accept connections")) {
        resolve();
      }
    });
    server.once("error", reject);
    server.once("exit", () => reject(new Error(`PostgreSQL did not start: ${said}`)));
  });
  const timeout = new AbortController();
  const tooLate = delay(startTimeoutMs, undefined, { signal: timeout.signal }).then(() => {
    throw new Error(`PostgreSQL is not ready after ${startTimeoutMs} ms: ${said}`);
  });
  try {
    await Promise.race([ready, tooLate]);
  } finally {
    timeout.abort();
    tooLate.catch(() => {});
  }
}

function userIds(user: string): { readonly uid: number; readonly gid: number } {
  const id = (option: string) =>
    Number(execFileSync("id", [option, user], { encoding: "utf8" }).trim());
  return { uid: id("-u"), gid: id("-g") };
}
