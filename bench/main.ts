import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { SingleBar } from "cli-progress";
import { flowerEnvironment } from "../test/interop/flower-environment.ts";
import { buildMeasured } from "./build.ts";
import { noteConditions } from "./conditions.ts";
import { takeCores } from "./cores.ts";
import { drawBars } from "./report/bar-chart.ts";
import { toMarkdown } from "./report/markdown.ts";
import type { WorkloadResult } from "./results.ts";
import { type Pace, runWorkload, samplesOf } from "./run-workload.ts";
import { openFleet, subjects } from "./subjects.ts";
import { judge } from "./targets.ts";
import { workloads } from "./workloads.ts";

const help = `npm run bench -- [options]
  --quick          less than a minute: checks the answers, writes nothing
  --only NAME      one workload (may be repeated), prints, writes nothing:
                   ${workloads.map(({ name }) => name).join(", ")}
  --help`;

const { values } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    only: { type: "string", multiple: true, default: [] },
    help: { type: "boolean", default: false },
  },
});
if (values.help) {
  console.log(help);
} else {
  await main(values);
}

async function main({ quick, only }: { quick: boolean; only: readonly string[] }): Promise<void> {
  const unknown = only.filter((name) => !workloads.some((workload) => workload.name === name));
  if (unknown.length > 0) throw new Error(`there is no workload ${unknown.join(", ")}\n${help}`);
  const chosen = workloads.filter(({ name }) => only.length === 0 || only.includes(name));
  const conditions = noteConditions();
  buildMeasured();
  const commands = await flowerEnvironment();
  const cores = takeCores();
  const directory = await mkdtemp(join(tmpdir(), "countersign-load-"));
  const pace: Pace = quick ? { seconds: 0.05, isQuick: true } : { seconds: 1, isQuick: false };
  const results: WorkloadResult[] = [];
  const bar = new SingleBar({ format: "[{bar}] {percentage} %  {duration_formatted}  {doing}" });
  try {
    await using fleet = await openFleet({
      cores,
      flowerPython: commands && join(commands, "python"),
    });
    for (const name of new Set(chosen.flatMap((workload) => workload.subjects))) {
      if (!fleet.has(name)) console.log(`SKIPPED: ${subjects[name].label}. It is not installed.`);
    }
    const options = {
      fleet,
      pace,
      directory,
      onSample: (doing: string) => bar.increment({ doing }),
    };
    const total = chosen.reduce((sum, workload) => sum + samplesOf(workload, options), 0);
    bar.start(total, 0, { doing: "starting" });
    for (const workload of chosen) results.push(await runWorkload(workload, options));
  } finally {
    bar.stop();
    await rm(directory, { recursive: true, force: true });
  }
  if (quick) {
    // A few calls say nothing of how fast they are.
    const rows = results.reduce((sum, result) => sum + result.rows.length, 0);
    console.log(`${results.length} workloads, ${rows} rows: every answer was right.`);
    return;
  }
  const report = toMarkdown(conditions, results, judge(results));
  console.log(report);
  if (only.length === 0) await writeDocs(report, drawBars(results));
}

/** Puts the report between its marks in docs/performance.md, and the plot beside it. */
async function writeDocs(report: string, plot: string): Promise<void> {
  const page = new URL("../docs/performance.md", import.meta.url);
  const text = await readFile(page, "utf8");
  const marks = /(<!-- bench: npm run bench -->\n).*?(<!-- bench end -->\n)/s;
  if (!marks.test(text)) throw new Error("docs/performance.md has no place for the results");
  const shown = `![The same as bars](performance.svg)\n\n${report}`;
  await writeFile(
    page,
    text.replace(marks, (_, open, close) => `${open}\n${shown}\n\n${close}`),
  );
  await writeFile(new URL("../docs/performance.svg", import.meta.url), plot);
}
