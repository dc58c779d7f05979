import { spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { KnownFailure } from "./known-failures.ts";

const here = fileURLToPath(new URL(".", import.meta.url));
const version = readFileSync(`${here}runner.version`, "utf8").trim();
const cache = process.env.XDG_CACHE_HOME || join(homedir(), ".cache");
const installation = join(cache, "countersign-conformance", version);

/** The directory of the suites that came with the runner. */
export const ownSuites: string = join(installation, "suites");

/** One run of the runner. */
export interface Run {
  readonly name: string;
  readonly mode: "client" | "server";
  /** Name of the file that says what is asked. */
  readonly config: string;
  readonly suites: readonly string[];
  readonly knownFailures?: readonly KnownFailure[];
  /** Runs the known failures and nothing else. Default: everything is run. */
  readonly isKnownOnly?: boolean;
  /** The program under test, with its arguments. */
  readonly program: readonly [file: string, ...args: string[]];
  /** The secret that the program knows. */
  readonly session: string;
}

/** What a run counted. */
export interface Counts {
  readonly passed: number;
  readonly failed: number;
  /** Cases that failed as {@link Run.knownFailures} says. */
  readonly known: number;
}

/** Tells whether install.sh has run. */
export function isInstalled(): boolean {
  return existsSync(join(installation, "complete")) && existsSync(join(here, "gen"));
}

/** Runs the runner, and passes on what it prints, but for how each known failure fails. */
export async function performRun(run: Run): Promise<Counts> {
  const { knownFailures = [], isKnownOnly = false } = run;
  const [file, ...args] = run.program;
  const runner = spawn(
    join(installation, "connectconformance"),
    [
      ...["--mode", run.mode, "--conf", join(here, run.config)],
      ...run.suites.flatMap((suite) => ["--test-file", suite]),
      ...knownFailures.flatMap(({ pattern, isFlaky }) => [
        isFlaky === true ? "--known-flaky" : "--known-failing",
        pattern,
      ]),
      ...(isKnownOnly ? knownFailures.flatMap(({ pattern }) => ["--run", pattern]) : []),
      ...["--", process.execPath, "-C", "countersign-source", join(here, file), ...args],
    ],
    {
      env: { ...process.env, CONFORMANCE_SESSION: run.session },
      stdio: ["ignore", "pipe", "inherit"],
    },
  );
  const status = new Promise<number | null>((resolve, reject) => {
    runner.once("error", reject);
    runner.once("close", resolve);
  });
  const counts = { passed: 0, failed: 0, known: 0 };
  let isHidden = false;
  for await (const line of createInterface({ input: runner.stdout })) {
    // What follows on a failure is indented.
    isHidden = line.startsWith("INFO: ") || (isHidden && line.startsWith("\t"));
    if (!isHidden && line !== "") {
      console.log(line);
    }
    const total = /^(\d+) passed, (\d+) failed$/.exec(line);
    counts.passed += Number(total?.[1] ?? 0);
    counts.failed += Number(total?.[2] ?? 0);
    counts.failed += Number(/^Another (\d+) could not be run/.exec(line)?.[1] ?? 0);
    counts.known += Number(/^\(Another (\d+) failed as expected/.exec(line)?.[1] ?? 0);
  }
  // A runner that ends badly, or has counted nothing, has failed whatever it says.
  if (((await status) !== 0 || counts.passed + counts.known === 0) && counts.failed === 0) {
    counts.failed++;
  }
  for (const { pattern, reason, isFlaky } of knownFailures) {
    console.log(`${isFlaky === true ? "known to fail at times" : "known"}: ${pattern}: ${reason}`);
  }
  return counts;
}
