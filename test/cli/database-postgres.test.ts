import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { appBundle } from "../appio/launch/archive.ts";
import { createSharedPlace } from "../store.ts";
import { run, start } from "./command-line.ts";

const ports = ["--port", "0", "--fleet-port", "0", "--control-port", "0"];

/** The URL of an empty place, as an operator would write it. */
async function databaseUrl(): Promise<string> {
  const place = await createSharedPlace();
  if ("path" in place) {
    throw new Error("these tests are for PostgreSQL");
  }
  const { host = "", user, database, options = "" } = place.config;
  const parameters = new URLSearchParams({ host, options });
  return `postgres://${user}@/${database}?${parameters}`;
}

test("two superlinks share the runs of one PostgreSQL database", async () => {
  const directory = await mkdtemp(join(tmpdir(), "countersign-cli-postgres-"));
  const tokenFile = join(directory, "operator-token");
  const url = await databaseUrl();
  const common = [...ports, "--isolation", "process", "--operator-token-file", tokenFile];
  const replicas = [
    start(["superlink", "--database", url, ...common]),
    start(["superlink", ...common], { COUNTERSIGN_DATABASE: url }),
  ];
  try {
    const [first, second] = await Promise.all(replicas.map(({ event }) => event("ready")));
    const operator = (ready: typeof first) => [
      ...["--json", "--operator-token-file", tokenFile],
      ...["--superlink", String(ready?.controlUrl)],
    ];
    const bundle = join(directory, "app.tgz");
    await writeFile(bundle, appBundle({ serverapp: "./app.js" }, { "app.js": "" }));
    const created = await run(["run", bundle, ...operator(first)]);
    expect(created.stderr).toBe("");
    const [runId] = JSON.parse(created.stdout).runIds;
    const listed = await run(["ls", ...operator(second)]);
    expect(JSON.parse(listed.stdout)).toMatchObject({ runId, status: "pending" });
  } finally {
    for (const { child } of replicas) {
      child.kill("SIGTERM");
    }
    const ended = await Promise.all(replicas.map(({ ended }) => ended));
    await rm(directory, { recursive: true });
    expect(ended.map(({ code }) => code)).toEqual([0, 0]);
  }
});

test.each([
  "postgres://me:s3cret@127.0.0.1:1/state",
  "postgres://127.0.0.1:1/state?password=s3cret",
])("a password is no argument: %s", async (url) => {
  const { code, stderr } = await run(["superlink", "--database", url, ...ports]);
  expect(stderr).toBe(
    "countersign: Others can read arguments: give the database's password by PGPASSWORD, or its URL by COUNTERSIGN_DATABASE.\n",
  );
  expect(code).toBe(1);
});

test("a server that does not answer is named without its password", async () => {
  const { code, stderr } = await run(["superlink", ...ports], {
    COUNTERSIGN_DATABASE: "postgres://me:s3cret@127.0.0.1:1/state",
  });
  expect(stderr).toMatch(/^countersign: the database is unavailable: .*ECONNREFUSED/);
  expect(stderr).not.toContain("s3cret");
  expect(code).toBe(1);
});

test("a SuperExec and its apps are not told where the state is", async () => {
  const directory = await mkdtemp(join(tmpdir(), "countersign-cli-postgres-"));
  const tokenFile = join(directory, "operator-token");
  const superLink = start(["superlink", ...ports, "--operator-token-file", tokenFile], {
    COUNTERSIGN_DATABASE: await databaseUrl(),
    PGPASSWORD: "s3cret",
    COUNTERSIGN_OPERATOR_TOKEN: "operator-s3cret",
  });
  try {
    await superLink.event("ready", { service: "superexec" });
    const children = execFileSync("pgrep", ["-P", String(superLink.child.pid)], {
      encoding: "utf8",
    });
    const environments = children
      .trim()
      .split("\n")
      .map((pid) => readFileSync(`/proc/${pid}/environ`, "utf8"));
    expect(environments).toHaveLength(1);
    expect(environments[0]).not.toMatch(/s3cret|COUNTERSIGN_DATABASE/);
  } finally {
    superLink.child.kill("SIGTERM");
    await superLink.ended;
    await rm(directory, { recursive: true });
  }
});
