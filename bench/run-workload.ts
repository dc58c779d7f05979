import { checkAnswers } from "./load/check-answers.ts";
import { type ResultRow, toRow, type WorkloadResult } from "./results.ts";
import type { Fleet, RunningServer, ServerName } from "./servers.ts";
import type { Sample, Workload } from "./workloads.ts";

/** How long and how often to measure. */
export interface Pace {
  /** Of each sample; more for a server that is slow to answer few calls. */
  readonly seconds: number;
  /** Rounds of a workload. */
  rounds(workload: Workload): number;
}

/** What {@link runWorkload} works with. */
export interface RunOptions {
  readonly fleet: Fleet;
  readonly pace: Pace;
  /** For files. */
  readonly directory: string;
  /** Called after each sample. */
  readonly onSample: (text: string) => void;
}

/**
 * Measures a workload on all its servers in turn, round by round, so that a
 * noisy minute harms all of them alike. Before and after, each must answer as
 * it should; the round before the first is not counted.
 */
export async function runWorkload(
  workload: Workload,
  options: RunOptions,
): Promise<WorkloadResult> {
  const { fleet, pace, directory, onSample } = options;
  const names = workload.servers.filter((name) => fleet.has(name));
  const samples = new Map<ServerName, Sample[]>(names.map((name) => [name, []]));
  const rounds = pace.rounds(workload);
  const check = async (name: ServerName) => checkAnswers(await fleet.get(name));
  for (const name of names) await check(name);
  for (let round = workload.needsFreshServer === true ? 1 : 0; round <= rounds; round++) {
    for (let turn = 0; turn < names.length; turn++) {
      // Another one begins each round.
      const name = names[(turn + round) % names.length];
      if (name === undefined) continue;
      const sample = await withServer(workload, fleet, name, (server) =>
        workload.measure(server, pace.seconds, directory),
      );
      if (round > 0) samples.get(name)?.push(sample);
      onSample(`${workload.name} ${name}`);
    }
  }
  for (const name of names) await check(name);
  const rows: ResultRow[] = Array.from(samples, ([name, all]) => toRow(name, all));
  return { workload, rows };
}

/** The number of samples that a workload takes. */
export function samplesOf(workload: Workload, { fleet, pace }: RunOptions): number {
  const servers = workload.servers.filter((name) => fleet.has(name)).length;
  const warmUps = workload.needsFreshServer === true ? 0 : 1;
  return servers * (pace.rounds(workload) + warmUps);
}

async function withServer<T>(
  { needsFreshServer = false }: Workload,
  fleet: Fleet,
  name: ServerName,
  work: (server: RunningServer) => Promise<T>,
): Promise<T> {
  if (!needsFreshServer) return work(await fleet.get(name));
  const server = await fleet.startAnother(name);
  try {
    return await work(server);
  } finally {
    await server.stop();
  }
}
