import { checkAnswers } from "./load/check-answers.ts";
import { type ResultRow, toRow, type WorkloadResult } from "./results.ts";
import { type Fleet, isSlowToStart, type Subject, type SubjectName } from "./subjects.ts";
import type { Sample, Workload } from "./workloads.ts";

/** How long and how often to measure. */
export interface Pace {
  /** Of each sample; more for a server that is slow to answer few calls. */
  readonly seconds: number;
  /** Whether to make a few calls only, once: for their answers, not for their time. */
  readonly isQuick: boolean;
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
 * Measures a workload on all its subjects in turn, round by round, so that a
 * noisy minute harms all of them alike. Before and after, each must answer as
 * it should; the round before the first is not counted.
 */
export async function runWorkload(
  workload: Workload,
  options: RunOptions,
): Promise<WorkloadResult> {
  const { fleet, pace, directory, onSample } = options;
  const names = namesOf(workload, options);
  const samples = new Map<SubjectName, Sample[]>(names.map((name) => [name, []]));
  const { check = checkAnswers } = workload;
  const checkAll = async () => {
    for (const name of names) await check(await fleet.get(name));
  };
  await checkAll();
  const [first, last] = roundsOf(workload, pace);
  for (let round = first; round <= last; round++) {
    for (let turn = 0; turn < names.length; turn++) {
      // Another one begins each round.
      const name = names[(turn + round) % names.length];
      if (name === undefined) continue;
      const sample = await withSubject(workload, fleet, name, (subject) =>
        workload.measure(subject, { ...pace, directory }),
      );
      if (round > 0) samples.get(name)?.push(sample);
      onSample(`${workload.name} ${name}`);
    }
  }
  await checkAll();
  const rows: ResultRow[] = Array.from(samples, ([name, all]) => toRow(name, all));
  return { workload, rows };
}

/** The number of samples that a workload takes. */
export function samplesOf(workload: Workload, options: RunOptions): number {
  const [first, last] = roundsOf(workload, options.pace);
  return namesOf(workload, options).length * (last - first + 1);
}

function namesOf({ subjects: names }: Workload, { fleet, pace }: RunOptions): SubjectName[] {
  return names.filter((name) => fleet.has(name) && !(pace.isQuick && isSlowToStart(name)));
}

/** The first round and the last; 0 is that of the warm-up. */
function roundsOf({ rounds, needsFreshServer }: Workload, { isQuick }: Pace): [number, number] {
  return isQuick ? [1, 1] : [needsFreshServer === true ? 1 : 0, rounds];
}

async function withSubject<T>(
  { needsFreshServer = false }: Workload,
  fleet: Fleet,
  name: SubjectName,
  work: (subject: Subject) => Promise<T>,
): Promise<T> {
  if (!needsFreshServer) return work(await fleet.get(name));
  const subject = await fleet.startAnother(name);
  try {
    return await work(subject);
  } finally {
    await subject.stop();
  }
}
