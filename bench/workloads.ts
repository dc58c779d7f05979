import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { loadWithH2load } from "./load/h2load.ts";
import { openIdleConnections } from "./load/idle-connections.ts";
import { uploadInVain } from "./load/refused-upload.ts";
import { getNodesRequest, pushObjectRequest, unknownToken } from "./load/requests.ts";
import { frame, nodesBytes, storedBytes } from "./servers/answers.ts";
import { getNodesPath, pushObjectPath } from "./servers/paths.ts";
import type { RunningServer, ServerName } from "./servers.ts";

/** What one round has measured on one server. */
export interface Sample {
  /** Calls or MB per second, or bytes; see {@link Workload.unit}. */
  readonly value: number;
  /** Time on the processor that a call has cost the server, in microseconds. */
  readonly cpuUs?: number;
  readonly p50Ms?: number;
  readonly p99Ms?: number;
}

/** One thing that all servers are made to do. */
export interface Workload {
  readonly name: string;
  readonly title: string;
  /** What a sample's value counts. Of bytes fewer are better. */
  readonly unit: "calls/s" | "MB/s" | "KiB sent" | "KiB each";
  readonly servers: readonly ServerName[];
  /** How often each server is measured, in the full benchmark. */
  readonly rounds: number;
  /** Whether each sample needs a server that has served nothing before. */
  readonly needsFreshServer?: boolean;
  /** Measures a server for about so many seconds. */
  measure(server: RunningServer, seconds: number, directory: string): Promise<Sample>;
}

const guarded = [
  "bare",
  "codec",
  "connectGuarded",
  "grpcJsToken",
  "flower",
  "oursGuarded1",
] as const;
const mebibyte = 1024 * 1024;
const uploadBytes = 10 * mebibyte;

/** Every workload, in the order in which they run. */
export const workloads: readonly Workload[] = [
  {
    name: "get-nodes",
    title: "GetNodes accepted, 4 connections x 25 streams",
    unit: "calls/s",
    servers: [
      ...["bare", "codec", "connect", "connectGuarded", "grpcJs", "grpcJsToken"],
      ...["flower", "oursOpen", "oursGuarded1", "oursGuarded10k", "oursGuarded1m", "oursPostgres"],
    ] as const,
    rounds: 7,
    measure: calls({ connections: 4, streams: 25 }),
  },
  {
    name: "get-nodes-refused",
    title: "GetNodes refused, 4 connections x 25 streams",
    unit: "calls/s",
    servers: [...guarded, "oursGuarded1m"],
    rounds: 7,
    measure: calls({ connections: 4, streams: 25, isRefused: true }),
  },
  ...[1, 100, 1000].map(
    (connections): Workload => ({
      name: `connections-${connections}`,
      title: `GetNodes accepted, ${connections} connections x ${Math.max(1, 100 / connections)} streams`,
      unit: "calls/s",
      servers: ["codec", "connectGuarded", "grpcJsToken", "flower", "oursGuarded1"],
      rounds: 3,
      measure: calls({ connections, streams: Math.max(1, 100 / connections) }),
    }),
  ),
  ...[1, 10].map(
    (size): Workload => ({
      name: `push-object-${size}`,
      title: `PushObject ${size} MiB accepted and dropped, one at a time`,
      unit: "MB/s",
      servers: [...guarded, "oursOpen"],
      rounds: 5,
      measure: async (server, seconds, directory) => {
        const message = pushObjectRequest(size * mebibyte);
        const load = { connections: 1, streams: 1, isRefused: false };
        const sample = await measureCalls(server, load, {
          ...{ path: pushObjectPath, message, answer: storedBytes, seconds, directory },
        });
        return { ...sample, value: (sample.value * message.length) / 1e6 };
      },
    }),
  ),
  {
    name: "push-object-refused",
    title: "PushObject 10 MiB refused, one at a time",
    unit: "KiB sent",
    servers: guarded,
    rounds: 5,
    measure: async (server, seconds) => {
      const message = pushObjectRequest(uploadBytes);
      const uploads = Math.max(2, Math.round(seconds * 20));
      const before = server.cpuNanoseconds();
      const sent = await uploadInVain(server, message, uploads);
      const cpuUs = (server.cpuNanoseconds() - before) / 1000 / uploads;
      return { value: sent / 1024, cpuUs };
    },
  },
  {
    name: "idle-connections",
    title: "Memory of idle connections (10,000; 1,000 with --quick)",
    unit: "KiB each",
    servers: ["bare", "grpcJs", "connect", "oursGuarded1"],
    rounds: 3,
    needsFreshServer: true,
    measure: async (server, seconds) => {
      const count = seconds < 1 ? 1_000 : 10_000;
      return { value: (await openIdleConnections(server, count)) / 1024 };
    },
  },
];

interface Shape {
  readonly connections: number;
  readonly streams: number;
  readonly isRefused?: boolean;
}

interface Calls {
  readonly path: string;
  readonly message: Uint8Array;
  readonly answer: Uint8Array;
  readonly seconds: number;
  readonly directory: string;
}

function calls(shape: Shape): Workload["measure"] {
  return (server, seconds, directory) =>
    measureCalls(server, shape, {
      ...{ path: getNodesPath, message: getNodesRequest, answer: nodesBytes, seconds, directory },
    });
}

async function measureCalls(
  server: RunningServer,
  { connections, streams, isRefused = false }: Shape,
  { path, message, answer, seconds, directory }: Calls,
): Promise<Sample> {
  const bodyFile = join(directory, "body.bin");
  await writeFile(bodyFile, frame(message));
  const load = (count: number) =>
    loadWithH2load(directory, {
      ...{ url: server.url, path, bodyFile, connections, streams, calls: count },
      token: isRefused ? unknownToken : server.token,
      answerBytes: isRefused ? 0 : frame(answer).length,
    });
  // The first few tell how many take as long as asked for.
  const few = Math.max(connections, message.length > mebibyte / 2 ? 8 : 1_000);
  const probe = await load(few);
  const count = Math.max(few, Math.round((few / probe.seconds) * seconds));
  const before = server.cpuNanoseconds();
  const { seconds: taken, p50Ms, p99Ms } = await load(count);
  const cpuUs = (server.cpuNanoseconds() - before) / 1000 / count;
  return { value: count / taken, cpuUs, p50Ms, p99Ms };
}
