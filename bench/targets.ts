import { resolveLimits } from "../src/serve/limits.ts";
import type { ResultRow, WorkloadResult } from "./results.ts";
import type { SubjectName } from "./subjects.ts";

/** A ratio that was aimed at, and what it has become. */
export interface TargetOutcome {
  readonly text: string;
  /** The ratio of the medians; undefined where something was not measured. */
  readonly ratio: number | undefined;
  /** The same of the servers' CPU time per call, so that more is better too. */
  readonly cpuRatio: number | undefined;
  readonly limit: number;
  readonly isMet: boolean | undefined;
}

interface Target {
  readonly text: string;
  readonly workload: string;
  /** Another workload of the same server, in the place of another server. */
  readonly otherWorkload?: string;
  readonly of: SubjectName;
  /** The server to compare with, or a value of the workload's unit. */
  readonly to: SubjectName | number;
  /** The ratio must be at least this, or at most, with `isMost`. */
  readonly limit: number;
  readonly isMost?: boolean;
  /** Which figure decides. Default: the value. */
  readonly by?: "cpuUs";
}

const ours = "oursGuarded1";
const windowKibibytes = resolveLimits({}, new Set()).streamWindowBytes / 1024;

const targets: readonly Target[] = [
  ...(
    [
      ["1. guarded / bare + codec (floor; stretch 0.90)", "codec", 0.75],
      ["1. guarded / grpc-js with its interceptor", "grpcJsToken", 1.2],
      ["1. guarded / connect-node", "connect", 6],
      ["1. guarded / Flower's Python", "flower", 3.5],
    ] as const
  ).map(([text, to, limit]): Target => ({ text, workload: "get-nodes", of: ours, to, limit })),
  {
    text: "2. guarded / ours open",
    ...{ workload: "guard", of: ours, to: "oursOpen", limit: 0.95 },
  },
  {
    text: "2. with 1,000,000 tokens / with one",
    workload: "get-nodes",
    ...{ of: "oursGuarded1m", to: ours, limit: 0.98 },
  },
  {
    text: "3. refused / accepted",
    ...{ workload: "get-nodes-refused", otherWorkload: "get-nodes", of: ours, to: ours, limit: 1 },
  },
  {
    text: `3. bytes of a refused upload / one window of ${windowKibibytes} KiB, and frame headers`,
    ...{
      workload: "push-object-refused",
      of: ours,
      to: windowKibibytes,
      limit: 1.01,
      isMost: true,
    },
  },
  {
    text: "3. CPU of a refused upload / bare's",
    ...{ workload: "push-object-refused", of: ours, to: "bare", limit: 1.5, isMost: true },
    by: "cpuUs",
  },
  {
    text: "4. PushObject 10 MiB / bare + codec",
    ...{ workload: "push-object-10", of: ours, to: "codec", limit: 0.9 },
  },
  {
    text: "4. PushObject 10 MiB / grpc-js",
    ...{ workload: "push-object-10", of: ours, to: "grpcJsToken", limit: 2 },
  },
  ...[1, 10].map(
    (size): Target => ({
      text: `4. PushObject ${size} MiB, stored / Flower's servicer on SQLite`,
      ...{ workload: `push-object-stored-${size}`, of: "oursStore", to: "flowerStore", limit: 1 },
    }),
  ),
  {
    text: "4. bodies in memory while a handler has one",
    ...{ workload: "body-copies", of: ours, to: 1, limit: 2, isMost: true },
  },
  {
    text: "5. memory of an idle connection / bare's",
    ...{ workload: "idle-connections", of: ours, to: "bare", limit: 1.2, isMost: true },
  },
  {
    text: "6. Grid's calls one after the other / client of grpc-js",
    ...{ workload: "client-1", of: "oursGrid", to: "grpcJsClient", limit: 1 },
  },
  {
    text: "6. Grid's calls 100 at once / client of grpc-js",
    ...{ workload: "client-100", of: "oursGrid", to: "grpcJsClient", limit: 1 },
  },
];

/** Compares what was measured with what was aimed at. */
export function judge(results: readonly WorkloadResult[]): TargetOutcome[] {
  const rowOf = (workload: string, subject: SubjectName): ResultRow | undefined =>
    results
      .find((result) => result.workload.name === workload)
      ?.rows.find((row) => row.subject === subject);
  return targets.map((target) => {
    const one = rowOf(target.workload, target.of);
    const { to } = target;
    const other =
      typeof to === "number" ? undefined : rowOf(target.otherWorkload ?? target.workload, to);
    const cpu = divide(other?.cpuUs?.median, one?.cpuUs?.median);
    const ratio =
      target.by === "cpuUs"
        ? divide(one?.cpuUs?.median, other?.cpuUs?.median)
        : divide(one?.value.median, typeof to === "number" ? to : other?.value.median);
    const { text, limit, isMost = false } = target;
    return {
      ...{ text, ratio, limit },
      cpuRatio: isMost ? undefined : cpu,
      isMet: ratio === undefined ? undefined : isMost ? ratio <= limit : ratio >= limit,
    };
  });
}

function divide(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || b === undefined ? undefined : a / b;
}
