import { Code, ConnectError } from "@connectrpc/connect";
import { expect, test } from "vitest";
import {
  PullAppInputsRequestSchema,
  PushAppOutputsRequestSchema,
} from "../../../gen/flwr/proto/appio_pb.ts";
import { SendAppHeartbeatRequestSchema } from "../../../gen/flwr/proto/heartbeat_pb.ts";
import { PushLogsRequestSchema } from "../../../gen/flwr/proto/log_pb.ts";
import { UpdateRunStatusRequestSchema } from "../../../gen/flwr/proto/run_pb.ts";
import { ConfigRecord } from "../../../src/appio/objects/config-record.ts";
import { RecordDict } from "../../../src/appio/objects/record-dict.ts";
import { serverAppIoPolicy } from "../../../src/appio/policy.ts";
import { scalarsFromConfig } from "../../../src/appio/runtime/config-values.ts";
import {
  type RunServerAppOptions,
  runServerApp,
} from "../../../src/appio/runtime/run-server-app.ts";
import { ServerApp, type ServerAppMain } from "../../../src/appio/runtime/server-app.ts";
import { createGuard } from "../../../src/guard/guard.ts";
import { type HandlersOf, service, unimplemented } from "../../../src/guard/service.ts";
import { manualSleep, type Wait } from "./manual-sleep.ts";
import { oneTokenVerifier, record, runId, token } from "./recorded-service.ts";

type Handlers = HandlersOf<typeof serverAppIoPolicy>;

const fail = (code: Code) => () => {
  throw new ConnectError("scripted", code);
};

/** A guarded ServerAppIo for one run, whose RPCs may be replaced. */
function serveRun(handlers: Partial<Handlers> = {}) {
  const { verify, revoke } = oneTokenVerifier();
  const guard = createGuard({
    services: [
      service(serverAppIoPolicy, {
        listAppsToLaunch: unimplemented,
        requestToken: unimplemented,
        getRun: unimplemented,
        sendAppHeartbeat: () => ({ success: true }),
        pullAppInputs: () => ({
          context: { runId, nodeId: 1n },
          run: { runId, overrideConfig: scalarsFromConfig({ rounds: 5n }) },
          fab: { hashStr: "hash", content: new Uint8Array([1]) },
        }),
        pushAppOutputs: () => ({}),
        pushObject: unimplemented,
        pullObject: unimplemented,
        confirmMessageReceived: unimplemented,
        updateRunStatus: () => ({}),
        pushLogs: () => ({}),
        getFederationOptions: unimplemented,
        pushMessages: unimplemented,
        pullMessages: unimplemented,
        getNodes: () => ({ nodes: [{ nodeId: 7n }] }),
        ...handlers,
      }),
    ],
    verifiers: { appToken: verify },
  });
  return { ...record(guard.routes), revoke };
}

type Served = ReturnType<typeof serveRun>;

/** Runs an app against a service; no loop of the runtime waits by the clock. */
function run(served: Served, main: ServerAppMain, options: Partial<RunServerAppOptions> = {}) {
  const { sleep, next } = manualSleep();
  const outcome = runServerApp({
    transport: served.transport,
    token,
    loadApp: () => ({ app: new ServerApp().main(main), config: { rounds: 3, lr: 0.5 } }),
    sleep,
    random: () => 0.5,
    ...options,
  });
  return { outcome, nextWait: next };
}

const finalStatuses = (served: Served) =>
  served.requests(UpdateRunStatusRequestSchema).map((request) => {
    expect(request.runId).toBe(runId);
    return [request.runStatus?.status, request.runStatus?.subStatus, request.runStatus?.details];
  });

const forever = () => new Promise<never>(() => {});

test("an app that returns: the calls of contract 8.4 in their order, and finished/completed", async () => {
  const served = serveRun();
  const { outcome } = run(
    served,
    async (grid, context) => {
      expect(await grid.getNodeIds()).toEqual([7n]);
      expect(context).toMatchObject({ runId, nodeId: 1n });
      expect({ ...context.runConfig }).toEqual({ rounds: 5, lr: 0.5 });
      context.state.set("progress", new ConfigRecord({ round: 5n }));
    },
    {
      captureLog: (upload) => {
        upload("hello\n");
        return () => upload("bye\n");
      },
    },
  );
  expect(await outcome).toMatchObject({
    kind: "completed",
    exitCode: 0,
    runId,
    finalStatus: { status: "finished", subStatus: "completed" },
  });
  expect(served.rpcs()).toEqual([
    "PullAppInputs",
    "SendAppHeartbeat",
    "GetNodes",
    "PushAppOutputs",
    "PushLogs",
    "UpdateRunStatus",
  ]);
  expect(finalStatuses(served)).toEqual([["finished", "completed", ""]]);

  const [outputs] = served.requests(PushAppOutputsRequestSchema);
  expect(outputs?.runId).toBe(runId);
  const state = RecordDict.fromProto(outputs?.context?.state);
  expect(state.getConfigRecord("progress").get("round")).toBe(5n);
  const logs = served.requests(PushLogsRequestSchema);
  expect(logs.map(({ logs }) => logs)).toEqual([["hello\n", "bye\n"]]);
  expect(logs.every((request) => request.runId === runId && request.node?.nodeId === 0n)).toBe(
    true,
  );
});

test("the token goes with every call, and in the body of those that have a field for it", async () => {
  const served = serveRun();
  await run(served, () => {}).outcome;
  expect(served.calls.every(({ headerToken }) => headerToken === token)).toBe(true);
  for (const schema of [
    PullAppInputsRequestSchema,
    SendAppHeartbeatRequestSchema,
    PushAppOutputsRequestSchema,
  ]) {
    expect(served.requests(schema).map((request) => request.token)).toEqual([token]);
  }
});

test.each([
  ["an Error", new Error("boom"), "boom"],
  ["an Error without a text", new RangeError(), "RangeError"],
  ["a string", "boom", "boom"],
  ["nothing", undefined, "undefined"],
  ["an object that has no text", Object.create(null), "something that has no text was thrown"],
])(
  "an app that throws %s: finished/failed with its text, exit code 201",
  async (_, thrown, details) => {
    const served = serveRun();
    const { outcome } = run(served, () => {
      throw thrown;
    });
    expect(await outcome).toMatchObject({ kind: "failed", exitCode: 201, error: thrown });
    expect(finalStatuses(served)).toEqual([["finished", "failed", details]]);
    expect(served.rpcs()).not.toContain("PushAppOutputs");
  },
);

test("a long text is cut for the status", async () => {
  const served = serveRun();
  await run(served, () => Promise.reject(new Error("x".repeat(10_000)))).outcome;
  expect(finalStatuses(served)[0]?.[2]).toHaveLength(2000);
});

test.each<[string, RunServerAppOptions["loadApp"], string]>([
  ["cannot be loaded", () => Promise.reject(new Error("no such module")), "no such module"],
  ["is none", () => ({ app: {} }), "the bundle's server app must be a ServerApp"],
  [
    "has no main function",
    () => ({ app: new ServerApp(), config: { rounds: 1 } }),
    "this ServerApp has no main function",
  ],
  [
    "does not know a key of the run's config",
    () => ({ app: new ServerApp().main(() => {}) }),
    `run config "rounds" is not in the app's default config`,
  ],
])("an app that %s: finished/failed", async (_, loadApp, details) => {
  const served = serveRun();
  const { outcome } = run(served, () => {}, { loadApp });
  expect(await outcome).toMatchObject({ kind: "failed", exitCode: 201, runId });
  expect(finalStatuses(served)).toEqual([["finished", "failed", expect.stringContaining(details)]]);
});

test("inputs without a bundle: finished/failed", async () => {
  const served = serveRun({ pullAppInputs: () => ({ run: { runId } }) });
  const { outcome } = run(served, () => {});
  expect(await outcome).toMatchObject({ kind: "failed", exitCode: 201 });
  expect(finalStatuses(served)).toEqual([["finished", "failed", expect.any(String)]]);
});

test("a context that cannot be written: finished/failed", async () => {
  const served = serveRun();
  const { outcome } = run(served, (_, context) => {
    Object.assign(context, { state: {} });
  });
  expect(await outcome).toMatchObject({ kind: "failed", exitCode: 201 });
  expect(finalStatuses(served)).toEqual([["finished", "failed", expect.stringContaining("state")]]);
});

test("a refused start: exit code 203 and no other call", async () => {
  const served = serveRun({ pullAppInputs: fail(Code.FailedPrecondition) });
  const { outcome } = run(served, () => {});
  expect(await outcome).toMatchObject({ kind: "start rejected", exitCode: 203 });
  expect(served.rpcs()).toEqual(["PullAppInputs"]);
});

test.each([
  [Code.Unauthenticated, "token lost", 1],
  [Code.PermissionDenied, "run stopped", 0],
])("inputs refused with code %i: %s, without a status", async (code, kind, exitCode) => {
  const served = serveRun({ pullAppInputs: fail(code) });
  expect(await run(served, () => {}).outcome).toMatchObject({ kind, exitCode });
  expect(served.rpcs()).toEqual(["PullAppInputs"]);
});

test("an unavailable server is asked again", async () => {
  const failures = [Code.Unavailable, Code.Unavailable];
  const served = serveRun({
    pullAppInputs: () => {
      const code = failures.shift();
      if (code !== undefined) throw new ConnectError("scripted", code);
      return { context: { runId, nodeId: 1n }, run: { runId }, fab: {} };
    },
  });
  const { outcome, nextWait } = run(served, () => {});
  while (served.calls.length < 3) {
    (await Promise.race([nextWait(), outcome.then(() => undefined)]))?.end();
  }
  expect(await outcome).toMatchObject({ kind: "completed" });
  expect(served.rpcs().slice(0, 4)).toEqual([
    "PullAppInputs",
    "PullAppInputs",
    "PullAppInputs",
    "SendAppHeartbeat",
  ]);
});

test("a stopped run: exit code 0 and no status, even if the app swallows the error", async () => {
  const served = serveRun({ getNodes: fail(Code.PermissionDenied) });
  const { outcome } = run(served, async (grid) => {
    await grid.getNodeIds().catch(() => {});
  });
  expect(await outcome).toEqual({
    kind: "run stopped",
    exitCode: 0,
    runId,
    finalStatus: undefined,
  });
  expect(served.rpcs()).not.toContain("PushAppOutputs");
  expect(served.rpcs()).not.toContain("UpdateRunStatus");
});

test("a run that was stopped before its context was stored: exit code 0 and no status", async () => {
  const served = serveRun({ pushAppOutputs: fail(Code.PermissionDenied) });
  expect(await run(served, () => {}).outcome).toMatchObject({ kind: "run stopped", exitCode: 0 });
  expect(served.rpcs()).not.toContain("UpdateRunStatus");
});

test("a run that was stopped before its status was sent: run stopped", async () => {
  const served = serveRun({ updateRunStatus: fail(Code.PermissionDenied) });
  expect(await run(served, () => {}).outcome).toMatchObject({ kind: "run stopped", exitCode: 0 });
});

test("a context that the server does not take: finished/failed", async () => {
  const served = serveRun({ pushAppOutputs: fail(Code.Internal) });
  expect(await run(served, () => {}).outcome).toMatchObject({ kind: "failed", exitCode: 201 });
  expect(finalStatuses(served)).toEqual([["finished", "failed", expect.any(String)]]);
});

/** Ends every wait at once until the outcome is there. */
async function hurry({ outcome, nextWait }: ReturnType<typeof run>) {
  const ended = outcome.then(() => undefined);
  for (let wait: Wait | undefined = await nextWait(); wait !== undefined; ) {
    wait.end();
    wait = await Promise.race([nextWait(), ended]);
  }
  return outcome;
}

test("a server that is unavailable for a moment gets the final status all the same", async () => {
  const failures = [Code.Unavailable, Code.Unavailable];
  const served = serveRun({
    updateRunStatus: () => {
      const code = failures.shift();
      if (code !== undefined) throw new ConnectError("scripted", code);
      return {};
    },
  });
  expect(await hurry(run(served, () => {}))).toMatchObject({
    kind: "completed",
    finalStatus: { status: "finished", subStatus: "completed" },
  });
  expect(finalStatuses(served)).toHaveLength(3);
});

test("the final status gets five tries, and no more", async () => {
  const served = serveRun({ updateRunStatus: fail(Code.Unavailable) });
  const lines: string[] = [];
  const running = run(served, () => {}, { onLog: (line) => lines.push(line) });
  expect(await hurry(running)).toMatchObject({
    kind: "completed",
    exitCode: 0,
    finalStatus: undefined,
  });
  expect(served.rpcs().filter((rpc) => rpc === "UpdateRunStatus")).toHaveLength(5);
  expect(lines.join()).toContain("final status was not taken");
});

test("a refused final status is not sent again", async () => {
  const served = serveRun({ updateRunStatus: fail(Code.FailedPrecondition) });
  expect(await run(served, () => {}).outcome).toMatchObject({ finalStatus: undefined });
  expect(served.rpcs().filter((rpc) => rpc === "UpdateRunStatus")).toHaveLength(1);
});

test("an interrupted app that ignores its signal: finished/failed, exit code 1", async () => {
  const served = serveRun();
  const interrupt = new AbortController();
  let appSignal: AbortSignal | undefined;
  const { outcome } = run(
    served,
    (_grid, _context, { signal }) => {
      appSignal = signal;
      interrupt.abort();
      return forever();
    },
    { signal: interrupt.signal },
  );
  expect(await outcome).toMatchObject({ kind: "interrupted", exitCode: 1 });
  expect(appSignal?.aborted).toBe(true);
  expect(finalStatuses(served)).toEqual([["finished", "failed", "The app was interrupted."]]);
  expect(served.rpcs()).not.toContain("PushAppOutputs");
});

test("an app interrupted before it has begun makes no call", async () => {
  const served = serveRun();
  const { outcome } = run(served, () => {}, { signal: AbortSignal.abort() });
  expect(await outcome).toMatchObject({ kind: "interrupted", exitCode: 1, runId: undefined });
  expect(served.rpcs()).toEqual([]);
});

test("heartbeats answered with success = false stop the app, without a status", async () => {
  const served = serveRun({ sendAppHeartbeat: () => ({ success: false }) });
  expect(await run(served, forever).outcome).toMatchObject({
    kind: "token lost",
    exitCode: 1,
    error: { message: "The app's token is lost: the server does not know the token." },
  });
  expect(finalStatuses(served)).toEqual([]);
});

test("a revoked token stops the app at the next heartbeat, without a status", async () => {
  const served = serveRun();
  const { outcome, nextWait } = run(served, forever);
  expect((await nextWait()).ms).toBe(200); // The upload of logs waits first.
  const heartbeat = await nextWait();
  expect(heartbeat.ms).toBe(20_000);
  served.revoke();
  heartbeat.end();
  expect(await outcome).toMatchObject({ kind: "token lost", exitCode: 1 });
  expect(served.rpcs()).not.toContain("UpdateRunStatus");
});

test("a call refused for its token stops the app, even one that goes on, without a status", async () => {
  const served = serveRun();
  const begin = Promise.withResolvers<void>();
  let stopped: unknown;
  const { outcome, nextWait } = run(served, async (grid, _, { signal }) => {
    await begin.promise;
    await grid.getNodeIds().catch(() => {});
    stopped = signal.reason;
    return forever();
  });
  await nextWait(); // The upload of logs waits first.
  expect((await nextWait()).ms).toBe(20_000); // The heartbeat, which will not be the one to find out.
  served.revoke();
  begin.resolve();
  expect(await outcome).toMatchObject({
    kind: "token lost",
    exitCode: 1,
    error: { message: "The app's token is lost: the server refused the token." },
  });
  expect(stopped).toMatchObject({ stopCause: "token lost" });
  expect(served.rpcs()).not.toContain("UpdateRunStatus");
});

test("the log is uploaded while the app runs", async () => {
  const served = serveRun();
  const interrupt = new AbortController();
  let upload = (_text: string) => {};
  const { outcome, nextWait } = run(served, forever, {
    signal: interrupt.signal,
    captureLog: (given) => {
      upload = given;
      return () => {};
    },
  });
  const uploaderWait = await nextWait();
  upload("hello\n");
  uploaderWait.end();
  const waits = [await nextWait(), await nextWait()];
  expect(waits.map(({ ms }) => ms).sort()).toEqual([200, 20_000]);
  expect(served.requests(PushLogsRequestSchema).map(({ logs }) => logs)).toEqual([["hello\n"]]);
  interrupt.abort();
  await outcome;
});

test("why an app failed, and where, is in the log of its run", async () => {
  const served = serveRun();
  let upload = (_text: string) => {};
  const { outcome } = run(served, () => Promise.reject(new Error("boom")), {
    onLog: (line) => upload(`${line}\n`),
    captureLog: (given) => {
      upload = given;
      return () => {};
    },
  });
  await outcome;
  const log = served.requests(PushLogsRequestSchema).flatMap(({ logs }) => logs);
  expect(log[0]).toBe("The ServerApp ended (failed): boom\n");
  expect(log.join("")).toMatch(/^ +at .*run-server-app\.test\.ts/m);
});

test("a capture that fails is the failure of the run", async () => {
  const served = serveRun();
  const { outcome } = run(served, () => {}, {
    captureLog: () => {
      throw new Error("no output");
    },
  });
  expect(await outcome).toMatchObject({ kind: "failed", runId });
  expect(finalStatuses(served)).toEqual([["finished", "failed", "no output"]]);
});

test("the capture of the log ends with the app, and a log that is refused does not fail it", async () => {
  const served = serveRun({ pushLogs: fail(Code.Internal) });
  let isCapturing = false;
  const { outcome } = run(served, () => {}, {
    captureLog: (upload) => {
      isCapturing = true;
      upload("hello\n");
      return () => {
        isCapturing = false;
      };
    },
  });
  expect(await outcome).toMatchObject({ kind: "completed" });
  expect(isCapturing).toBe(false);
});

test.each(["", undefined])("refuses to begin with the token %j", async (noToken) => {
  const served = serveRun();
  // @ts-expect-error Neither is a Token: the compiler refuses it first.
  await expect(run(served, () => {}, { token: noToken }).outcome).rejects.toThrow(TypeError);
  expect(served.rpcs()).toEqual([]);
});
