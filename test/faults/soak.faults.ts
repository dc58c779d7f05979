import { readdir, readFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Federation } from "./federation.ts";
import { positiveInteger } from "./inputs.ts";

/** How long the federation works. Set by SOAK_MINUTES; under 5, only the warming up of the processes shows. */
const minutes = positiveInteger("SOAK_MINUTES", 60);

/** More memory than in the beginning, in MiB, that is no leak: heaps grow and shrink. */
const allowedGrowth = 64;

/** More open files, sockets among them. */
const allowedFiles = 10;

let federation: Federation;
beforeAll(async () => {
  federation = await Federation.start();
});
afterAll(() => federation[Symbol.asyncDispose]());

interface Sample {
  /** Resident memory, in MiB. */
  readonly memory: number;
  /** Open file descriptors. */
  readonly files: number;
}

test.skipIf(process.platform !== "linux")(
  `servers that work for ${minutes} min use no more memory and files than at first`,
  async () => {
    const samples = new Map<string, Sample[]>();
    const until = Date.now() + minutes * 60_000;
    let runs = 0;
    while (Date.now() < until) {
      const runIds = await federation.createRuns(2);
      for (const runId of runIds) {
        await expectCompleted(runId);
        runs++;
      }
      for (const [name, pid] of Object.entries(federation.servers())) {
        samples.set(name, [...(samples.get(name) ?? []), await sampleOf(pid)]);
      }
    }
    for (const [name, all] of samples) {
      // The first fifth warms up: code is compiled, caches fill.
      const later = all.slice(Math.floor(all.length / 5));
      const third = Math.max(1, Math.floor(later.length / 3));
      const before = middleOf(later.slice(0, third));
      const after = middleOf(later.slice(-third));
      console.log(
        `${name}: ${runs} runs in ${minutes} min; memory ${before.memory} -> ${after.memory} MiB, files ${before.files} -> ${after.files}`,
      );
      expect(after.memory - before.memory, `growth of ${name}, MiB`).toBeLessThan(allowedGrowth);
      expect(after.files - before.files, `more files of ${name}`).toBeLessThan(allowedFiles);
    }
  },
);

async function expectCompleted(runId: string): Promise<void> {
  for (;;) {
    const status = await federation.statusOf(runId);
    if (status?.status === "finished") {
      expect(status).toMatchObject({ subStatus: "completed", details: "" });
      return;
    }
    await delay(100);
  }
}

async function sampleOf(pid: number): Promise<Sample> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  const [, kibibytes = "0"] = /^VmRSS:\s+(\d+) kB$/m.exec(status) ?? [];
  const files = await readdir(`/proc/${pid}/fd`);
  return { memory: Math.round(Number(kibibytes) / 1024), files: files.length };
}

/** The medians of some samples. */
function middleOf(samples: readonly Sample[]): Sample {
  const median = (values: number[]) => values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0;
  return {
    memory: median(samples.map(({ memory }) => memory)),
    files: median(samples.map(({ files }) => files)),
  };
}
