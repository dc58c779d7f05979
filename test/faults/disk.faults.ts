import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { appBundle } from "../appio/launch/archive.ts";
import { run, start } from "../cli/command-line.ts";
import { SmallDisk } from "./small-disk.ts";

let directory: string;
let disk: SmallDisk | undefined;
let bundleFile: string;
let tokenFile: string;
let database: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "countersign-disk-test-"));
  disk = await SmallDisk.mount(4);
  if (disk === undefined) {
    console.warn("SKIPPED: full and read-only disks. This user may not mount a file system.");
  }
  bundleFile = join(directory, "app.tgz");
  tokenFile = join(directory, "operator-token");
  database = join(disk?.directory ?? directory, "state.sqlite");
  // Random, so that packing makes it no smaller.
  const noise = Buffer.from(crypto.getRandomValues(new Uint8Array(60_000))).toString("hex");
  await writeFile(bundleFile, appBundle({ serverapp: "./a.js" }, { "a.js": `// ${noise}` }));
});
afterAll(async () => {
  await disk?.[Symbol.asyncDispose]();
  await rm(directory, { recursive: true, force: true });
});

function startSuperLink() {
  return start([
    ...["superlink", "--isolation", "process", "--database", database],
    ...["--port", "0", "--fleet-port", "0", "--control-port", "0"],
    ...["--operator-token-file", tokenFile],
  ]);
}

test("a full disk refuses what it cannot keep, loses nothing, and goes on when there is space", async ({
  skip,
}) => {
  if (disk === undefined) {
    return skip("no file system of its own");
  }
  const superLink = startSuperLink();
  onTestFinished(() => {
    superLink.child.kill("SIGKILL");
    return superLink.ended.then(() => {});
  });
  const { controlUrl } = await superLink.event("ready");
  const operator = ["--superlink", String(controlUrl), "--operator-token-file", tokenFile];
  const kept: string[] = [];
  const create = async () => {
    const ended = await run(["run", bundleFile, ...operator]);
    if (ended.code === 0) {
      kept.push(ended.stdout.trim());
    }
    return ended;
  };
  const listed = async () => (await run(["ls", ...operator])).stdout;
  expect((await create()).code).toBe(0);

  await disk.fill();
  // The log that is there already takes a little more.
  let refused = await create();
  for (let more = 0; refused.code === 0 && more < 100; more++) {
    refused = await create();
  }
  expect(refused).toMatchObject({ code: 1, stdout: "" });
  expect(refused.stderr).toBe(
    `countersign: The SuperLink at ${controlUrl} is unavailable: The state is unavailable at present.\n`,
  );
  for (const runId of kept) {
    expect(await listed()).toContain(runId);
  }

  await disk.free();
  expect((await create()).code).toBe(0);
  superLink.child.kill("SIGTERM");
  const { code, stderr } = await superLink.ended;
  // The operator is told what the caller is not.
  expect(stderr).toMatch(/full/i);
  expect(code).toBe(0);

  const file = new DatabaseSync(database);
  expect(file.prepare("PRAGMA integrity_check").get()).toEqual({ integrity_check: "ok" });
  expect(file.prepare("SELECT count(*) AS count FROM run").get()).toEqual({ count: kept.length });
  file.close();
  console.log(`full disk: ${kept.length} runs acknowledged, ${kept.length} kept; integrity ok`);
});

test("a database that cannot be written is said at the start", async ({ skip }) => {
  if (disk === undefined) {
    return skip("no file system of its own");
  }
  await disk.protect();
  const { code, stdout, stderr } = await startSuperLink().ended;
  expect([code, stdout]).toEqual([1, ""]);
  expect(stderr).toContain(database);
  expect(stderr).toMatch(/read-?only/i);
  expect(stderr.trim().split("\n")).toHaveLength(1);
});
