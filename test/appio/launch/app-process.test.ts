import { spawn } from "node:child_process";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type ChildHandle, spawnWithToken } from "../../../src/appio/launch/child.ts";
import { controlPolicy, serverAppIoPolicy } from "../../../src/appio/policy.ts";
import { type SuperLink, startSuperLink } from "../../../src/appio/superlink/superlink.ts";
import { createAuthenticatedClient } from "../../../src/client/authenticated-client.ts";
import { transportTo } from "../../../src/client/located-transport.ts";
import { createOpenClient } from "../../../src/client/open-client.ts";
import { parseToken, type Token } from "../../../src/policy/token.ts";
import { appBundle } from "./archive.ts";

const commandLine = [
  ...["-C", "countersign-source"],
  fileURLToPath(new URL("../../../src/cli/main.ts", import.meta.url)),
];
const operatorToken = parseToken("operator-of-this-test");

let superLink: SuperLink;
let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "countersign-app-test-"));
  superLink = await startSuperLink({
    databasePath: ":memory:",
    operatorToken,
    serverAppIoPort: 0,
    fleetPort: 0,
    controlPort: 0,
    logPollMs: 20,
  });
});
afterAll(async () => {
  await superLink.close();
  await rm(directory, { recursive: true, force: true });
});

function control() {
  const transport = transportTo(createGrpcTransport, { baseUrl: superLink.controlUrl });
  return createAuthenticatedClient(controlPolicy, transport, { operatorToken });
}

function serverApp(main: string): Uint8Array {
  return appBundle(
    { serverapp: "./server-app.ts", config: { greeting: "hello" } },
    {
      "server-app.ts": `import { ServerApp } from "countersign/appio";
        export default new ServerApp().main(async (grid, context, { signal }) => { ${main} });`,
    },
  );
}

/** Creates a run, claims its token and starts its process, as a SuperExec does. */
async function launch(fab: Uint8Array) {
  const { runIds } = await control().startRuns({ fab });
  const [runId = 0n] = runIds;
  const transport = transportTo(createGrpcTransport, { baseUrl: superLink.serverAppIoUrl });
  const claimed = await createOpenClient(serverAppIoPolicy, transport).requestToken({ runId });
  const token = parseToken(claimed.token);
  return { runId, token, ...start(token) };
}

function start(token: Token): { child: ChildHandle; lines: string[] } {
  const lines: string[] = [];
  const child = spawnWithToken({
    token,
    command: {
      command: process.execPath,
      args: [...commandLine, "app", "serverapp", "--address", superLink.serverAppIoUrl],
      env: { ...process.env, TMPDIR: directory },
    },
    onLine: ({ text }) => lines.push(text),
  });
  return { child, lines };
}

async function statusOf(runId: bigint) {
  const { runs } = await control().listRuns({ runIds: [runId] });
  const { status, subStatus, details } = runs[0]?.status ?? {};
  return { status, subStatus, details };
}

async function logOf(runId: bigint): Promise<string> {
  let log = "";
  for await (const { logOutput } of control().streamLogs({ runId })) log += logOutput;
  return log;
}

function outcomeIn(lines: readonly string[]): unknown {
  return JSON.parse(lines.findLast((line) => line.startsWith('{"kind":"ended"')) ?? "{}");
}

describe("the process of a ServerApp", () => {
  test("runs the app, uploads its output, reports completed, and leaves no files", async () => {
    const { runId, child, lines } = await launch(
      serverApp(`console.log("said", context.runConfig.greeting); console.error("warned");
        setInterval(() => {}, 1000);`),
    );
    expect(await child.exited).toMatchObject({ code: 0 });
    expect(outcomeIn(lines)).toMatchObject({ app: "serverapp", outcome: "completed", code: 0 });
    expect(await statusOf(runId)).toMatchObject({ status: "finished", subStatus: "completed" });
    expect(await logOf(runId)).toBe("said hello\nwarned\n");
    expect(await readdir(directory)).toEqual([]);
  });

  test("of an app that throws, tells the reason and exits with 1", async () => {
    const { runId, child, lines } = await launch(serverApp('throw new RangeError("too far");'));
    expect(await child.exited).toMatchObject({ code: 1 });
    expect(outcomeIn(lines)).toMatchObject({ outcome: "failed", code: 201 });
    expect(await statusOf(runId)).toMatchObject({ subStatus: "failed", details: "too far" });
  });

  test.each([
    ["a rejection", 'Promise.reject(new RangeError("too far"));'],
    ["an exception", 'setImmediate(() => { throw new RangeError("too far"); });'],
  ])("of an app that leaves %s unhandled, tells the reason at once", async (_, trouble) => {
    const { runId, child, lines } = await launch(
      serverApp(`console.log("started"); ${trouble} await new Promise(() => {});`),
    );
    expect(await child.exited).toMatchObject({ code: 1 });
    expect(outcomeIn(lines)).toMatchObject({ outcome: "failed", code: 201 });
    expect(await statusOf(runId)).toMatchObject({ subStatus: "failed", details: "too far" });
    expect(await logOf(runId)).toMatch(/^started\nThe ServerApp ended \(failed\): too far\n +at /);
  });

  test("of an app that listens for unhandled errors itself, goes on", async () => {
    const { runId, child } = await launch(
      serverApp(`const noted = new Promise((note) => process.on("unhandledRejection", note));
        Promise.reject(new Error("expected")); await noted;`),
    );
    expect(await child.exited).toMatchObject({ code: 0 });
    expect(await statusOf(runId)).toMatchObject({ subStatus: "completed" });
  });

  test("of a bundle without a ServerApp, says so in the run's status", async () => {
    const bundle = appBundle({ clientapp: "./a.ts" }, { "a.ts": "export default 1;" });
    const { runId, child } = await launch(bundle);
    expect(await child.exited).toMatchObject({ code: 1 });
    expect(await statusOf(runId)).toMatchObject({
      subStatus: "failed",
      details: "The app bundle test-app 1.0.0 has no serverapp.",
    });
  });

  test("ends when its launcher goes, even with an app that does not listen", async () => {
    const { runId, child, lines } = await launch(
      serverApp(`console.log("started"); await new Promise(() => {});`),
    );
    while (!(await logOf(runId)).includes("started")) await new Promise(setImmediate);
    expect(await child.stop()).toMatchObject({ code: 0, signal: null });
    expect(outcomeIn(lines)).toMatchObject({ outcome: "interrupted", code: 1 });
    expect(await statusOf(runId)).toMatchObject({ status: "finished", subStatus: "failed" });
  });

  test("is refused with a token that has been used to start the run before", async () => {
    const first = await launch(serverApp("await new Promise(() => {});"));
    const second = start(first.token);
    // Whichever of the two asks first gets the inputs, and stays.
    const rejected = await Promise.race(
      [first, second].map((each) => each.child.exited.then((exit) => ({ ...each, exit }))),
    );
    expect(rejected.exit).toMatchObject({ code: 1 });
    expect(outcomeIn(rejected.lines)).toMatchObject({ outcome: "start rejected", code: 203 });
    await Promise.all([first.child.stop(), second.child.stop()]);
  });

  test("without a token on stdin exits with 1 and says who starts it", async () => {
    const parameters = ["app", "serverapp", "--address", superLink.serverAppIoUrl];
    const child = spawn(process.execPath, [...commandLine, ...parameters]);
    child.stdin.end("not a token\n");
    let errors = "";
    child.stderr.on("data", (part) => {
      errors += part;
    });
    const code = await new Promise((resolve) => child.once("close", resolve));
    expect([code, errors]).toEqual([
      1,
      'countersign: Expected {"token": "..."} as the first line of stdin: this command is started by a SuperExec.\n',
    ]);
  });
});
