import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { findPostgresBinaries, startPostgresCluster } from "../test/postgres/cluster.ts";
import { builtFile } from "./build.ts";
import { type Child, startChild } from "./child-process.ts";
import type { Cores } from "./cores.ts";
import { fixedToken, nodeIds, runId } from "./servers/answers.ts";

/** What is known about a subject before it is started. */
interface SubjectFacts {
  /** How tables call it. */
  readonly label: string;
  /** Whether a call without the token is refused. */
  readonly isGuarded: boolean;
  /** What it needs that may not be there. */
  readonly needs?: "flower" | "postgres";
  /** Whether it takes longer to start than a quick run has. */
  readonly isSlowToStart?: boolean;
  /** Of a client: the server that it calls. */
  readonly calls?: "codec" | "oursStore";
}

/** Every server and client that is measured, by name. */
export const subjects = {
  bare: { label: "node:http2, constant bytes (bare)", isGuarded: true },
  codec: { label: "node:http2 + protobuf-es + Map (bare + codec)", isGuarded: true },
  connect: { label: "connect-node", isGuarded: false },
  connectGuarded: { label: "connect-node, our guard", isGuarded: true },
  grpcJs: { label: "grpc-js", isGuarded: false },
  grpcJsToken: { label: "grpc-js, token interceptor", isGuarded: true },
  flower: { label: "Flower's gRPC server and interceptor", isGuarded: true, needs: "flower" },
  oursOpen: { label: "ours, open", isGuarded: false },
  oursGuarded1: { label: "ours, guarded, 1 token", isGuarded: true },
  oursLeanOff: { label: "ours, guarded, 1 token, lean path off", isGuarded: true },
  oursGuarded10k: { label: "ours, guarded, 10,000 tokens", isGuarded: true },
  oursGuarded1m: {
    ...{ label: "ours, guarded, 1,000,000 tokens", isGuarded: true, isSlowToStart: true },
  },
  oursPostgres: { label: "ours, guarded, PostgreSQL", isGuarded: true, needs: "postgres" },
  flowerStore: { label: "Flower's ServerAppIo on SQLite", isGuarded: true, needs: "flower" },
  oursStore: { label: "ours, SuperLink on SQLite", isGuarded: true },
  grpcJsClient: { label: "client of grpc-js", isGuarded: true, calls: "codec" },
  oursGrid: { label: "ours, Grid", isGuarded: true, calls: "codec" },
  grpcJsRound: {
    ...{ label: "client of grpc-js, messages prepared", isGuarded: true, calls: "oursStore" },
  },
  oursGridRound: { label: "ours, Grid", isGuarded: true, calls: "oursStore" },
} as const satisfies Readonly<Record<string, SubjectFacts>>;

/** Name of a subject. */
export type SubjectName = keyof typeof subjects;

/** A process that is measured: a server, or a client together with the server that it calls. */
export interface Subject extends Child {
  readonly name: SubjectName;
  readonly label: string;
  readonly isGuarded: boolean;
  /** Where the server listens. */
  readonly url: string;
  /** The token that the server accepts; empty where every run has its own. */
  readonly token: string;
  /** The server: the process itself, or the one that a client calls. */
  readonly server: Child;
}

/** Starts subjects on one processor, and what clients call on the other; each once. */
export interface Fleet extends AsyncDisposable {
  /** Whether a subject can be started here. */
  has(name: SubjectName): boolean;
  /** Returns a subject, started if it is not. */
  get(name: SubjectName): Promise<Subject>;
  /** Starts one more of a kind, which the caller stops. */
  startAnother(name: SubjectName): Promise<Subject>;
}

/** What {@link openFleet} needs to know. */
export interface FleetOptions {
  readonly cores: Cores;
  /** Flower's Python; undefined if it is not installed. */
  readonly flowerPython: string | undefined;
}

/** Prepares to start subjects. All that they write is in one directory, removed at the end. */
export async function openFleet({ cores, flowerPython }: FleetOptions): Promise<Fleet> {
  const directory = await mkdtemp(join(tmpdir(), "countersign-bench-"));
  const running = new Map<SubjectName, Promise<Subject>>();
  /** The servers that clients call. */
  const called = new Map<SubjectName, Promise<Subject>>();
  const postgresBinaries = findPostgresBinaries();
  let postgres: Promise<{ host: string; stop(): Promise<void> }> | undefined;

  async function commandOf(name: SubjectName): Promise<[string, string[]]> {
    if (name === "flower") {
      const args = [String(runId), fixedToken, ...nodeIds.map(String)];
      return [flowerPython ?? "", [python("flower_interceptor.py"), ...args]];
    }
    // A directory for each process: a SQLite file belongs to one.
    const own = await mkdtemp(join(directory, `${name}-`));
    if (name === "flowerStore") {
      return [flowerPython ?? "", [python("flower_superlink.py"), join(own, "state.sqlite")]];
    }
    const args = [builtFile("servers/main"), name];
    if (name === "oursPostgres" && postgresBinaries !== undefined) {
      postgres ??= startPostgresCluster(postgresBinaries);
      return [process.execPath, [...args, "--postgres", (await postgres).host]];
    }
    return [process.execPath, [...args, "--directory", own]];
  }

  async function start(name: SubjectName): Promise<Subject> {
    const { calls }: SubjectFacts = subjects[name];
    return calls === undefined ? startServer(name, cores.server) : startClient(name, calls);
  }

  async function startServer(name: SubjectName, core: number): Promise<Subject> {
    const child = await startChild(core, ...(await commandOf(name)));
    const { port, token } = child.greeting;
    const url = `http://127.0.0.1:${port}`;
    return { ...child, ...factsOf(name), url, token: String(token), server: child };
  }

  async function startClient(name: SubjectName, calls: SubjectName): Promise<Subject> {
    const known = called.get(calls) ?? startServer(calls, cores.load);
    called.set(calls, known);
    const { url, token, server } = await known;
    const child = await startChild(cores.server, process.execPath, [
      builtFile("clients/main"),
      name,
      url,
    ]);
    return { ...child, ...factsOf(name), url, token, server };
  }

  return {
    has: (name) => {
      const { needs }: SubjectFacts = subjects[name];
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
      const started = await Promise.allSettled([...running.values(), ...called.values()]);
      await Promise.all(
        started.map((one) => (one.status === "fulfilled" ? one.value.stop() : undefined)),
      );
      await (await postgres)?.stop();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/** Whether a subject takes longer to start than a quick run has. */
export function isSlowToStart(name: SubjectName): boolean {
  const facts: SubjectFacts = subjects[name];
  return facts.isSlowToStart === true;
}

function factsOf(name: SubjectName): Pick<Subject, "name" | "label" | "isGuarded"> {
  const { label, isGuarded } = subjects[name];
  return { name, label, isGuarded };
}

function python(script: string): string {
  return fileURLToPath(new URL(`servers/${script}`, import.meta.url));
}
