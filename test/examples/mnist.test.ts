import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";

const main = fileURLToPath(new URL("../../examples/mnist/main.ts", import.meta.url));

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "countersign-job-test-"));
});
afterAll(() => rm(directory, { recursive: true, force: true }));

/** Starts the main job with its temporary files below `directory`. */
function startJob(rounds: string) {
  const child = spawn(process.execPath, ["-C", "countersign-source", main, rounds], {
    env: { ...process.env, TMPDIR: directory },
  });
  let output = "";
  const errors: string[] = [];
  child.stdout.on("data", (part) => {
    output += part;
  });
  child.stderr.on("data", (part) => errors.push(String(part)));
  const ended = once(child, "close").then(([code]) => ({ code, output, errors: errors.join("") }));
  return { child, ended };
}

test("the main job trains, counts its calls, shows the refused token and cleans up", {
  timeout: 120_000,
}, async () => {
  const { code, output, errors } = await startJob("2").ended;
  expect(errors).toBe("");
  expect(code).toBe(0);
  expect(output).toMatch(/^round {2}1\/2 {2}accuracy [0-9.]+ % {2}loss [0-9.]+\nround {2}2\/2 /m);
  for (const where of ["SuperLink", "SuperNode 1", "SuperNode 2", "SuperNode 3"]) {
    expect(output).toContain(`Calls to ${where}:\n`);
  }
  expect(output).toMatch(/^ {2}SendAppHeartbeat +[0-9]+ +1$/m);
  expect(output).toContain('after the run finished:  Unauthenticated "Authentication failed."');
  const [, accuracy] = /Test accuracy on the 2000 digits held back: ([0-9.]+) %/.exec(output) ?? [];
  expect(Number(accuracy)).toBeGreaterThanOrEqual(85);
  expect(await readdir(directory)).toEqual([]);
});

test("a job that is interrupted stops its processes, exits with 1 and cleans up", {
  timeout: 60_000,
}, async () => {
  const { child, ended } = startJob("10");
  child.stdout.on("data", (part) => {
    if (String(part).includes("was created")) child.kill("SIGINT");
  });
  expect(await ended).toMatchObject({ code: 1, errors: "The job was stopped.\n" });
  expect(await readdir(directory)).toEqual([]);
});
