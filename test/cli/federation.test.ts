import { mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { appBundle } from "../appio/launch/archive.ts";
import { flowerArchive, flowerManifest } from "../appio/launch/flower-archive.ts";
import { run, type Started, start } from "./command-line.ts";

/** Asks every node for its own name and logs the answers; with "wait" it then waits to be stopped. */
const bundle = appBundle(
  { serverapp: "./server-app.ts", clientapp: "./client-app.ts", config: { wait: false } },
  {
    "server-app.ts": `import { Message, RecordDict, ServerApp } from "countersign/appio";
      export default new ServerApp().main(async (grid, { runConfig }, { signal }) => {
        let nodeIds = [];
        while (nodeIds.length === 0) nodeIds = await grid.getNodeIds();
        const ask = (dstNodeId) => new Message({ content: new RecordDict(), messageType: "query", dstNodeId });
        for (const reply of await grid.sendAndReceive(nodeIds.map(ask))) {
          console.log("answer:", reply.content.getConfigRecord("node").getString("name"));
        }
        if (runConfig.wait) await new Promise(() => {});
      });`,
    "client-app.ts": `import { ClientApp, ConfigRecord, RecordDict } from "countersign/appio";
      export default new ClientApp().query((message, { nodeConfig }) =>
        message.reply(new RecordDict({ node: new ConfigRecord({ name: nodeConfig.name }) })));`,
  },
);

let directory: string;
let bundleFile: string;
let superLink: Started;
let superNode: Started;
let operator: string[];

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "countersign-cli-test-"));
  bundleFile = join(directory, "app.tgz");
  await writeFile(bundleFile, bundle);
  const tokenFile = join(directory, "operator-token");
  // The apps' temporary files go where the test can see that none is left.
  const env = { TMPDIR: directory };
  superLink = start(
    [
      ...["superlink", "--database", join(directory, "state.sqlite")],
      ...["--port", "0", "--fleet-port", "0", "--control-port", "0"],
      ...["--operator-token-file", tokenFile, "--log-poll-ms", "20"],
      ...["--superexec-poll-ms", "20", "--reply-poll-ms", "20"],
    ],
    env,
  );
  const { fleetUrl, controlUrl, operatorTokenFile } = await superLink.event("ready");
  expect(operatorTokenFile).toBe(tokenFile);
  superNode = start(
    [
      ...["supernode", "--superlink", String(fleetUrl), "--port", "0", "--node-config", "name=n1"],
      ...["--poll-interval-ms", "20", "--reply-poll-ms", "20", "--superexec-poll-ms", "20"],
    ],
    env,
  );
  await superNode.event("ready");
  operator = ["--superlink", String(controlUrl), "--operator-token-file", tokenFile];
});

afterAll(async () => {
  for (const each of [superNode, superLink]) each?.child.kill("SIGTERM");
  await Promise.all([superNode?.ended, superLink?.ended]);
  await rm(directory, { recursive: true, force: true });
});

async function startRuns(...more: string[]): Promise<string[]> {
  const { code, stdout, stderr } = await run(["run", bundleFile, ...more, ...operator]);
  expect([code, stderr]).toEqual([0, ""]);
  return stdout.trim().split("\n");
}

async function statusOf(runId: string): Promise<Record<string, unknown>> {
  return JSON.parse((await run(["ls", runId, "--json", ...operator])).stdout);
}

test("the operator's token is made in a file that only its owner can read", async () => {
  expect((await stat(operator[3] ?? "")).mode & 0o777).toBe(0o600);
});

test("runs go through SuperLink, SuperNode and the SuperExecs they start", async () => {
  const runIds = await startRuns("--count", "2");
  expect(new Set(runIds).size).toBe(2);
  for (const runId of runIds) {
    const log = await run(["log", runId, "-f", ...operator]);
    expect(log).toEqual({ code: 0, stdout: "answer: n1\n", stderr: "" });
  }
  const { stdout } = await run(["ls", ...operator]);
  expect(stdout).toMatch(/^RUN +TYPE +APP +STATUS/);
  for (const runId of runIds) {
    expect(stdout).toMatch(
      new RegExp(`^${runId} +serverapp +test-app 1\\.0\\.0 +finished: completed `, "m"),
    );
  }
});

test("a Flower App Bundle makes a run that is named after it", async () => {
  const file = join(directory, "app.fab");
  await writeFile(file, flowerArchive(flowerManifest));
  const { stdout } = await run(["run", file, "--run-config", "num-rounds=5", ...operator]);
  expect(await statusOf(stdout.trim())).toMatchObject({
    app: "some-publisher/flower-app",
    version: "1.2.3",
  });
  const misspelt = await run(["run", file, "--run-config", "num-round=5", ...operator]);
  expect(misspelt.stderr).toContain('"num-round" is not in the app\'s default config');
});

test("stop ends a running run; its app process goes, and a second stop changes nothing", async () => {
  const [runId = ""] = await startRuns("--run-config", "wait=true");
  const following = start(["log", runId, "-f", "--json", ...operator]);
  await new Promise<void>((resolve) => {
    following.child.stdout?.once("data", () => resolve());
  });
  // Without -f the log of a run that is still running ends with what there is.
  expect((await run(["log", runId, ...operator])).stdout).toBe("answer: n1\n");
  expect(await run(["stop", runId, ...operator])).toMatchObject({
    code: 0,
    stdout: `Stopped run ${runId}.\n`,
  });
  expect((await following.ended).code).toBe(0);
  expect(await run(["stop", runId, "--json", ...operator])).toMatchObject({
    code: 0,
    stdout: `{"runId":"${runId}","stopped":false}\n`,
  });
  expect(await statusOf(runId)).toMatchObject({ status: "finished", subStatus: "stopped" });
});

test("decisions tell what was allowed", async () => {
  const { stdout } = await run(["decisions", ...operator]);
  expect(stdout).toMatch(/^RPC +ALLOWED +REFUSED +UNDECIDED\n/);
  expect(stdout).toMatch(/flwr\.proto\.ServerAppIo\/PullAppInputs +[1-9][0-9]* +0 +0\n/);
});

describe("refusals are one sentence on stderr and exit code 1", () => {
  test("a wrong operator token", async () => {
    const [option = "", url = ""] = operator;
    const env = { COUNTERSIGN_OPERATOR_TOKEN: "wrong-token" };
    const { code, stdout, stderr } = await run(["ls", option, url], env);
    expect({ code, stdout, stderr }).toEqual({
      code: 1,
      stdout: "",
      stderr: `countersign: The SuperLink at ${url} does not accept this operator token.\n`,
    });
  });

  test("an unknown run", async () => {
    const { code, stderr } = await run(["log", "123456789", ...operator]);
    expect([code, stderr]).toEqual([1, "countersign: Run 123456789 not found.\n"]);
    expect(await run(["ls", "5", "7", "--json", ...operator])).toEqual({
      code: 1,
      stdout: "",
      stderr: "countersign: Run 5 not found. Run 7 not found.\n",
    });
  });

  test("a misspelt configuration key, before anything is created", async () => {
    const parameters = ["run", bundleFile, "--run-config", "wiat=true", ...operator];
    const { code, stderr } = await run(parameters);
    expect([code, stderr]).toEqual([
      1,
      'countersign: run config "wiat" is not in the app\'s default config\n',
    ]);
  });

  test("a file that is no bundle", async () => {
    const { code, stderr } = await run(["run", operator[3] ?? "", ...operator]);
    expect([code, stderr]).toEqual([
      1,
      "countersign: The app bundle is no gzipped tar archive: make it with `npm pack`.\n",
    ]);
  });
});

test("decisions tell what was refused and why; no secret shows", async () => {
  const [option = "", url = ""] = operator;
  await run(["ls", option, url], { COUNTERSIGN_OPERATOR_TOKEN: "wrong-token" });
  const { stdout } = await run(["decisions", "--json", ...operator]);
  const refusals = stdout.split("\n").filter((line) => line.includes('"reason"'));
  expect(refusals.map((line) => JSON.parse(line))).toContainEqual({
    kind: "refusal",
    service: "countersign.control.v1.Control",
    method: "ListRuns",
    credential: "operatorToken",
    reason: "not the operator's",
    count: expect.stringMatching(/^[1-9][0-9]*$/),
    lastAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/),
  });
  const table = (await run(["decisions", ...operator])).stdout;
  expect(table).toMatch(/^REFUSALS +LAST +RPC +CREDENTIAL +REASON$/m);
  expect(table).toMatch(/Control\/ListRuns +operatorToken +not the operator's$/m);
  expect(stdout + table).not.toContain("wrong-token");
});

test("SIGTERM stops node and link with exit code 0, and no temporary file stays", async () => {
  superNode.child.kill("SIGTERM");
  const node = await superNode.ended;
  expect(node.code).toBe(0);
  expect(await superNode.event("decisions")).toMatchObject({
    counters: expect.arrayContaining([
      expect.objectContaining({ method: "PullMessage", refused: 0 }),
    ]),
  });
  superLink.child.kill("SIGTERM");
  const { code, stderr } = await superLink.ended;
  expect(code).toBe(0);
  // The refusals of this file's tests, for its operator.
  expect(stderr).toMatch(
    /^countersign: refused countersign.control.v1.Control\/ListRuns: operatorToken not the operator's/m,
  );
  expect(stderr).not.toContain("wrong-token");
  expect((await readdir(directory)).filter((name) => name.startsWith("countersign-"))).toEqual([]);
});
