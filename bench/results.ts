import { type Spread, spreadOf } from "./statistics.ts";
import { type SubjectName, subjects } from "./subjects.ts";
import type { Sample, Workload } from "./workloads.ts";

/** All that was measured of one workload. */
export interface WorkloadResult {
  readonly workload: Workload;
  readonly rows: readonly ResultRow[];
}

/** The rounds of one subject, summed up. */
export interface ResultRow {
  readonly subject: SubjectName;
  readonly label: string;
  readonly value: Spread;
  readonly cpuUs: Spread | undefined;
  readonly p50Ms: Spread | undefined;
  readonly p99Ms: Spread | undefined;
}

/** Sums the rounds of a subject up. */
export function toRow(subject: SubjectName, samples: readonly Sample[]): ResultRow {
  const spread = (key: keyof Sample): Spread | undefined => {
    const values = samples.flatMap((sample) => sample[key] ?? []);
    return values.length === 0 ? undefined : spreadOf(values);
  };
  const { label } = subjects[subject];
  const value = spreadOf(samples.map((sample) => sample.value));
  return {
    ...{ subject, label, value },
    ...{ cpuUs: spread("cpuUs"), p50Ms: spread("p50Ms"), p99Ms: spread("p99Ms") },
  };
}
