import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { appBundle } from "../appio/launch/archive.ts";
import { run, type Started, start } from "./command-line.ts";

/** Asks every node for its partition and logs the answers; with "loop" the nodes never answer. */
const bundle = appBundle(
  { serverapp: "./server-app.ts", clientapp: "./client-app.ts", config: { loop: false } },
  {
    "server-app.ts": `import { Message, RecordDict, ServerApp } from "countersign/appio";
      export default new ServerApp().main(async (grid) => {
        const ask = (dstNodeId) => new Message({ content: new RecordDict(), messageType: "query", dstNodeId });
        for (const reply of await grid.sendAndReceive((await grid.getNodeIds()).map(ask))) {
          console.log("answer:", reply.content.getConfigRecord("node").getString("name"));
        }
      });`,
    "client-app.ts": `import { ClientApp, ConfigRecord, RecordDict } from "countersign/appio";
      export default new ClientApp().query((message, { nodeConfig, runConfig }) => {
        if (runConfig.loop) console.log("looping");
        while (runConfig.loop);
        const name = nodeConfig["partition-id"] + " of " + nodeConfig["num-partitions"];
        return message.reply(new RecordDict({ node: new ConfigRecord({ name }) }));
      });`,
  },
);

let directory: string;
let bundleFile: string;
let superLink: Started;
let operator: string[];

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "countersign-simulation-test-"));
  bundleFile = join(directory, "app.tgz");
  await writeFile(bundleFile, bundle);
  const tokenFile = join(directory, "operator-token");
  superLink = start(
    [
      ...["superlink", "--database", ":memory:"],
      ...["--port", "0", "--fleet-port", "0", "--control-port", "0"],
      ...["--operator-token-file", tokenFile, "--log-poll-ms", "20"],
      ...["--superexec-poll-ms", "20", "--reply-poll-ms", "100"],
    ],
    { TMPDIR: directory },
  );
  const { controlUrl } = await superLink.event("ready");
  operator = ["--superlink", String(controlUrl), "--operator-token-file", tokenFile];
});

afterAll(async () => {
  superLink?.child.kill("SIGTERM");
  await superLink?.ended;
  await rm(directory, { recursive: true, force: true });
});

const simulate = (...more: string[]) =>
  run(["run", bundleFile, "--run-type", "simulation", ...more, ...operator]);

async function statusOf(runId: string): Promise<Record<string, unknown>> {
  return JSON.parse((await run(["ls", runId, "--json", ...operator])).stdout);
}

test("a simulation is started by the SuperLink's own SuperExec; no SuperNode takes part", async () => {
  const started = await simulate("--federation-option", "num-supernodes=3");
  expect(started).toMatchObject({ code: 0, stderr: "" });
  const runId = started.stdout.trim();
  expect(await run(["log", runId, "-f", ...operator])).toEqual({
    code: 0,
    stdout: "answer: 0 of 3\nanswer: 1 of 3\nanswer: 2 of 3\n",
    stderr: "",
  });
  expect(await statusOf(runId)).toMatchObject({
    runType: "simulation",
    status: "finished",
    subStatus: "completed",
  });
  expect(await superLink.event("exited")).toMatchObject({ runId, exit: { code: 0 } });
});

test("without its options it is refused before anything is created", async () => {
  expect(await simulate()).toEqual({
    code: 1,
    stdout: "",
    stderr:
      'countersign: a simulation needs the federation option "num-supernodes": how many virtual nodes it has\n',
  });
});

test("threads that never end are ended: by stop, and with the SuperLink", async () => {
  // One thread each: the processor is for others as well.
  const options = ["num-supernodes=8", "backend.init-args.num-cpus=1"];
  const { stdout } = await simulate(
    ...options.flatMap((option) => ["--federation-option", option]),
    ...["--run-config", "loop=true", "--count", "2"],
  );
  const [stopped = "", other = ""] = stdout.split("\n");
  const logs = [stopped, other].map((runId) => start(["log", runId, "-f", ...operator]));
  await Promise.all(
    logs.map(({ child }) => new Promise((resolve) => child.stdout?.once("data", resolve))),
  );
  expect((await run(["stop", stopped, ...operator])).code).toBe(0);
  await superLink.event("exited", { runId: stopped });
  expect(await statusOf(stopped)).toMatchObject({ status: "finished", subStatus: "stopped" });

  superLink.child.kill("SIGTERM");
  expect((await superLink.ended).code).toBe(0);
  expect(await superLink.event("exited", { runId: other })).toMatchObject({ exit: { code: 0 } });
  await Promise.all(logs.map(({ ended }) => ended));
  expect((await readdir(directory)).sort()).toEqual(["app.tgz", "operator-token"]);
});
