import { type ServerName, servers } from "./servers.ts";
import { type Spread, spreadOf } from "./statistics.ts";
import type { Sample, Workload } from "./workloads.ts";

/** All that was measured of one workload. */
export interface WorkloadResult {
  readonly workload: Workload;
  readonly rows: readonly ResultRow[];
}

/** The rounds of one server, summed up. */
export interface ResultRow {
  readonly server: ServerName;
  readonly label: string;
  readonly value: Spread;
  readonly cpuUs: Spread | undefined;
  readonly p50Ms: Spread | undefined;
  readonly p99Ms: Spread | undefined;
}

/** Sums the rounds of a server up. */
export function toRow(server: ServerName, samples: readonly Sample[]): ResultRow {
  const spread = (key: keyof Sample): Spread | undefined => {
    const values = samples.flatMap((sample) => sample[key] ?? []);
    return values.length === 0 ? undefined : spreadOf(values);
  };
  const { label } = servers[server];
  const value = spreadOf(samples.map((sample) => sample.value));
  return {
    ...{ server, label, value },
    ...{ cpuUs: spread("cpuUs"), p50Ms: spread("p50Ms"), p99Ms: spread("p99Ms") },
  };
}
