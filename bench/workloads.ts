import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { countBodyCopies } from "./load/body-copies.ts";
import { checkAnswers } from "./load/check-answers.ts";
import { callFromClient, exchangeRounds, roundMessages } from "./load/client-load.ts";
import { loadWithH2load } from "./load/h2load.ts";
import { openIdleConnections } from "./load/idle-connections.ts";
import { uploadInVain } from "./load/refused-upload.ts";
import { getNodesRequest, pushObjectRequest, unknownToken } from "./load/requests.ts";
import { checkStore, uploadToStore } from "./load/stored-upload.ts";
import type { Pace } from "./run-workload.ts";
import { frame, nodesBytes, storedBytes } from "./servers/answers.ts";
import { getNodesPath, pushObjectPath } from "./servers/paths.ts";
import type { Subject, SubjectName } from "./subjects.ts";

/** What one round has measured on one server. */
export interface Sample {
  /** Calls or MB per second, or bytes; see {@link Workload.unit}. */
  readonly value: number;
  /** Time on the processor that a call has cost the server, in microseconds. */
  readonly cpuUs?: number;
  readonly p50Ms?: number;
  readonly p99Ms?: number;
}

/** How long to measure, and where to put files. */
export interface MeasureOptions extends Pace {
  readonly directory: string;
}

/** One thing that all subjects are made to do. */
export interface Workload {
  readonly name: string;
  readonly title: string;
  /** What a sample's value counts. Of bytes fewer are better. */
  readonly unit: "calls/s" | "messages/s" | "MB/s" | "KiB sent" | "KiB each" | "bodies";
  readonly subjects: readonly SubjectName[];
  /** How often each subject is measured, in the full benchmark. */
  readonly rounds: number;
  /** Whether each sample needs a server that has served nothing before. */
  readonly needsFreshServer?: boolean;
  /** Checks that a subject answers as it should. Default: {@link checkAnswers}. */
  check?(subject: Subject): Promise<void>;
  /** Measures a subject. */
  measure(subject: Subject, options: MeasureOptions): Promise<Sample>;
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
/** How many MiB per second may be stored before there is nothing left to push. */
const mostStoredMebibytes = 600;

/** Every workload, in the order in which they run. */
export const workloads: readonly Workload[] = [
  {
    name: "get-nodes",
    title: "GetNodes accepted, 4 connections x 25 streams",
    unit: "calls/s",
    subjects: [
      ...["bare", "codec", "connect", "connectGuarded", "grpcJs", "grpcJsToken"],
      ...["flower", "oursOpen", "oursGuarded1", "oursLeanOff", "oursGuarded10k", "oursGuarded1m"],
      ...["oursPostgres"],
    ] as const,
    rounds: 7,
    measure: calls({ connections: 4, streams: 25 }),
  },
  {
    name: "guard",
    title: "GetNodes accepted, in each round by a new process",
    unit: "calls/s",
    subjects: ["oursOpen", "oursGuarded1"],
    // Processes of the same code differ by some 5 %, for as long as they live.
    rounds: 9,
    needsFreshServer: true,
    measure: async (server, options) => {
      const measure = calls({ connections: 4, streams: 25 });
      // Until V8 has compiled what there is to compile.
      await measure(server, { ...options, seconds: 5 * options.seconds });
      return measure(server, { ...options, seconds: 2 * options.seconds });
    },
  },
  {
    name: "get-nodes-refused",
    title: "GetNodes refused, 4 connections x 25 streams",
    unit: "calls/s",
    subjects: [...guarded, "oursGuarded1m"],
    rounds: 5,
    measure: calls({ connections: 4, streams: 25, isRefused: true }),
  },
  ...[1, 100, 1000].map(
    (connections): Workload => ({
      name: `connections-${connections}`,
      title: `GetNodes accepted, ${connections} connections x ${Math.max(1, 100 / connections)} streams`,
      unit: "calls/s",
      subjects: ["codec", "connectGuarded", "grpcJsToken", "flower", "oursGuarded1"],
      rounds: 3,
      measure: calls({ connections, streams: Math.max(1, 100 / connections) }),
    }),
  ),
  ...[1, 10].map(
    (size): Workload => ({
      name: `push-object-${size}`,
      title: `PushObject ${size} MiB accepted and dropped, one at a time`,
      unit: "MB/s",
      subjects: [...guarded, "oursOpen"],
      rounds: size === 1 ? 3 : 5,
      measure: async (server, options) => {
        const message = pushObjectRequest(size * mebibyte);
        const load = { connections: 1, streams: 1, isRefused: false };
        const sample = await measureCalls(server, load, {
          ...{ path: pushObjectPath, message, answer: storedBytes, ...options },
        });
        return { ...sample, value: (sample.value * message.length) / 1e6 };
      },
    }),
  ),
  ...[1, 10].map(
    (size): Workload => ({
      name: `push-object-stored-${size}`,
      title: `PushObject ${size} MiB into the object store, one at a time`,
      unit: "MB/s",
      subjects: ["flowerStore", "oursStore"],
      rounds: size === 1 ? 3 : 5,
      check: checkStore,
      measure: async (server, { seconds, isQuick }) => {
        const maxCalls = isQuick ? 3 : Math.ceil((seconds * mostStoredMebibytes) / size);
        const upload = await uploadToStore(server, size * mebibyte, { seconds, maxCalls });
        return { ...upload, value: upload.bytes / 1e6 / upload.seconds };
      },
    }),
  ),
  {
    name: "push-object-refused",
    title: "PushObject 10 MiB refused, one at a time",
    unit: "KiB sent",
    subjects: guarded,
    rounds: 5,
    measure: async (server, { seconds }) => {
      const message = pushObjectRequest(uploadBytes);
      const uploads = Math.max(2, Math.round(seconds * 20));
      const before = server.cpuNanoseconds();
      const sent = await uploadInVain(server, message, uploads);
      const cpuUs = (server.cpuNanoseconds() - before) / 1000 / uploads;
      return { value: sent / 1024, cpuUs };
    },
  },
  {
    name: "body-copies",
    title: "Memory of a body of 10 MiB while its handler runs, in bodies",
    unit: "bodies",
    subjects: ["codec", "connectGuarded", "grpcJsToken", "oursGuarded1"],
    rounds: 1,
    measure: async (server) => ({
      value: await countBodyCopies(server, pushObjectRequest(uploadBytes)),
    }),
  },
  {
    name: "idle-connections",
    title: "Memory of idle connections (10,000; 100 with --quick)",
    unit: "KiB each",
    subjects: ["bare", "grpcJs", "connect", "oursGuarded1"],
    rounds: 3,
    needsFreshServer: true,
    measure: async (server, { isQuick }) => {
      const options = isQuick ? { count: 100, settleMs: 0 } : { count: 10_000, settleMs: 1_500 };
      return { value: (await openIdleConnections(server, options)) / 1024 };
    },
  },
  ...[1, 100].map(
    (atOnce): Workload => ({
      name: `client-${atOnce}`,
      title: `Client: GetNodes, ${atOnce === 1 ? "one after the other" : `${atOnce} at once`}`,
      unit: "calls/s",
      subjects: ["grpcJsClient", "oursGrid"],
      rounds: 5,
      // Every answer is checked where it is measured.
      check: async () => {},
      measure: (client, { seconds }) => callFromClient(client, atOnce, seconds),
    }),
  ),
  {
    name: "client-round",
    title: `Client: ${roundMessages} messages pushed, and ${roundMessages} replies pulled`,
    unit: "messages/s",
    subjects: ["grpcJsRound", "oursGridRound"],
    rounds: 5,
    check: async () => {},
    measure: (client, { seconds }) => exchangeRounds(client, seconds),
  },
];

interface Shape {
  readonly connections: number;
  readonly streams: number;
  readonly isRefused?: boolean;
}

interface Calls extends MeasureOptions {
  readonly path: string;
  readonly message: Uint8Array;
  readonly answer: Uint8Array;
}

function calls(shape: Shape): Workload["measure"] {
  return (server, options) =>
    measureCalls(server, shape, {
      ...{ path: getNodesPath, message: getNodesRequest, answer: nodesBytes, ...options },
    });
}

/** How fast the calls of each kind were when they were measured last. */
const callsPerSecond = new Map<string, number>();

async function measureCalls(
  server: Subject,
  { connections, streams, isRefused = false }: Shape,
  { path, message, answer, seconds, isQuick, directory }: Calls,
): Promise<Sample> {
  const bodyFile = join(directory, "body.bin");
  await writeFile(bodyFile, frame(message));
  const load = (count: number) =>
    loadWithH2load(directory, {
      ...{ url: server.url, path, bodyFile, connections, streams, calls: count },
      token: isRefused ? unknownToken : server.token,
      answerBytes: isRefused ? 0 : frame(answer).length,
    });
  const isLarge = message.length > mebibyte / 2;
  const few = Math.max(connections, isLarge ? 8 : 1_000);
  const kind = [server.url, path, message.length, connections, isRefused].join();
  // What was measured before tells how many calls take as long as asked for; at first, a few calls do.
  const perSecond = async () => callsPerSecond.get(kind) ?? few / (await load(few)).seconds;
  const count = isQuick
    ? Math.max(connections, isLarge ? 2 : 200)
    : Math.max(few, Math.round((await perSecond()) * seconds));
  const before = server.cpuNanoseconds();
  const { seconds: taken, p50Ms, p99Ms } = await load(count);
  const cpuUs = (server.cpuNanoseconds() - before) / 1000 / count;
  callsPerSecond.set(kind, count / taken);
  return { value: count / taken, cpuUs, p50Ms, p99Ms };
}
