import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { findPostgresBinaries, startPostgresCluster } from "../test/postgres/cluster.ts";
import { type Child, sourceArguments, startChild } from "./child-process.ts";
import { fixedToken, nodeIds, runId } from "./servers/answers.ts";

/** What is known about a server before it is started. */
interface ServerFacts {
  /** How tables call it. */
  readonly label: string;
  /** Whether a call without the token is refused. */
  readonly isGuarded: boolean;
  /** What it needs that may not be there. */
  readonly needs?: "flower" | "postgres";
}

/** Every server that is measured, by name. */
export const servers = {
  bare: { label: "node:http2, constant bytes (bare)", isGuarded: true },
  codec: { label: "node:http2 + protobuf-es + Map (bare + codec)", isGuarded: true },
  connect: { label: "connect-node", isGuarded: false },
  connectGuarded: { label: "connect-node, our guard", isGuarded: true },
  grpcJs: { label: "grpc-js", isGuarded: false },
  grpcJsToken: { label: "grpc-js, token interceptor", isGuarded: true },
  flower: { label: "Flower's gRPC server and interceptor", isGuarded: true, needs: "flower" },
  oursOpen: { label: "ours, open", isGuarded: false },
  oursGuarded1: { label: "ours, guarded, 1 token", isGuarded: true },
  oursGuarded10k: { label: "ours, guarded, 10,000 tokens", isGuarded: true },
  oursGuarded1m: { label: "ours, guarded, 1,000,000 tokens", isGuarded: true },
  oursPostgres: { label: "ours, guarded, PostgreSQL", isGuarded: true, needs: "postgres" },
} as const satisfies Readonly<Record<string, ServerFacts>>;

/** Name of a server. */
export type ServerName = keyof typeof servers;

/** A server that runs. */
export interface RunningServer extends Child {
  readonly name: ServerName;
  readonly label: string;
  readonly isGuarded: boolean;
  readonly url: string;
  readonly token: string;
}

/** Starts servers on one processor, each once. */
export interface Fleet extends AsyncDisposable {
  /** Whether a server can be started here. */
  has(name: ServerName): boolean;
  /** Returns a server, started if it is not. */
  get(name: ServerName): Promise<RunningServer>;
  /** Starts one more of a kind, which the caller stops. */
  startAnother(name: ServerName): Promise<RunningServer>;
}

/** What {@link openFleet} needs to know. */
export interface FleetOptions {
  /** The processor of the servers. */
  readonly core: number;
  /** Flower's Python; undefined if it is not installed. */
  readonly flowerPython: string | undefined;
}

/** Prepares to start servers. All that they write is in one directory, removed at the end. */
export async function openFleet({ core, flowerPython }: FleetOptions): Promise<Fleet> {
  const directory = await mkdtemp(join(tmpdir(), "countersign-bench-"));
  const running = new Map<ServerName, Promise<RunningServer>>();
  const postgresBinaries = findPostgresBinaries();
  let postgres: Promise<{ host: string; stop(): Promise<void> }> | undefined;

  async function commandOf(name: ServerName): Promise<[string, string[]]> {
    if (name === "flower") {
      const args = [String(runId), fixedToken, ...nodeIds.map(String)];
      return [flowerPython ?? "", [python("flower_interceptor.py"), ...args]];
    }
    // A directory for each process: a SQLite file belongs to one.
    const own = await mkdtemp(join(directory, `${name}-`));
    const args = [...sourceArguments(new URL("servers/main.ts", import.meta.url)), name];
    if (name === "oursPostgres" && postgresBinaries !== undefined) {
      postgres ??= startPostgresCluster(postgresBinaries);
      return [process.execPath, [...args, "--postgres", (await postgres).host]];
    }
    return [process.execPath, [...args, "--directory", own]];
  }

  async function start(name: ServerName): Promise<RunningServer> {
    const child = await startChild(core, ...(await commandOf(name)));
    const { port, token } = child.greeting;
    const { label, isGuarded } = servers[name];
    const url = `http://127.0.0.1:${port}`;
    return { ...child, name, label, isGuarded, url, token: String(token) };
  }

  return {
    has: (name) => {
      const { needs }: ServerFacts = servers[name];
      if (needs === "flower") return flowerPython !== undefined;
      return needs !== "postgres" || postgresBinaries !== undefined;
    },
    get: (name) => {
      const known = running.get(name) ?? start(name);
      running.set(name, known);
      return known;
    },
    startAnother: start,
    [Symbol.asyncDispose]: async () => {
      const started = await Promise.allSettled(running.values());
      await Promise.all(
        started.map((server) => (server.status === "fulfilled" ? server.value.stop() : undefined)),
      );
      await (await postgres)?.stop();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

function python(script: string): string {
  return fileURLToPath(new URL(`servers/${script}`, import.meta.url));
}
