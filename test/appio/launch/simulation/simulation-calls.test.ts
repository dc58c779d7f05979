import { Code, ConnectError } from "@connectrpc/connect";
import { expect, test } from "vitest";
import { PushLogsRequestSchema } from "../../../../gen/flwr/proto/log_pb.ts";
import {
  GetFederationOptionsRequestSchema,
  UpdateRunStatusRequestSchema,
} from "../../../../gen/flwr/proto/run_pb.ts";
import {
  type RunSimulationOptions,
  runSimulation,
} from "../../../../src/appio/launch/simulation/run-simulation.ts";
import { ConfigRecord } from "../../../../src/appio/objects/config-record.ts";
import { serverAppIoPolicy } from "../../../../src/appio/policy.ts";
import { ServerApp, type ServerAppMain } from "../../../../src/appio/runtime/server-app.ts";
import { createGuard } from "../../../../src/guard/guard.ts";
import { type HandlersOf, service, unimplemented } from "../../../../src/guard/service.ts";
import { manualSleep } from "../../runtime/manual-sleep.ts";
import { oneTokenVerifier, record, runId, token } from "../../runtime/recorded-service.ts";

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
        pullAppInputs: () => ({ context: { runId, nodeId: 1n }, run: { runId }, fab: {} }),
        pushAppOutputs: () => ({}),
        pushObject: unimplemented,
        pullObject: unimplemented,
        confirmMessageReceived: unimplemented,
        updateRunStatus: () => ({}),
        pushLogs: () => ({}),
        getFederationOptions: () => ({
          federationOptions: new ConfigRecord({ "num-supernodes": 2n }).toProto(),
        }),
        pushMessages: unimplemented,
        pullMessages: unimplemented,
        getNodes: unimplemented,
        ...handlers,
      }),
    ],
    verifiers: { appToken: verify },
  });
  return { ...record(guard.routes), revoke };
}

type Served = ReturnType<typeof serveRun>;

/** Runs a simulation that starts no thread, against a service. No loop of the runtime waits by the clock. */
function run(served: Served, main: ServerAppMain, options: Partial<RunSimulationOptions> = {}) {
  const { sleep, next } = manualSleep();
  const outcome = runSimulation({
    transport: served.transport,
    token,
    loadApps: () => ({
      serverApp: new ServerApp().main(main),
      clientAppUrl: "data:text/javascript,",
    }),
    sleep,
    random: () => 0.5,
    ...options,
  });
  return { outcome, nextWait: next };
}

const finalStatuses = (served: Served) =>
  served
    .requests(UpdateRunStatusRequestSchema)
    .map(({ runStatus }) => [runStatus?.status, runStatus?.subStatus, runStatus?.details]);

const forever = () => new Promise<never>(() => {});

/** Uploads one line, before the app has begun. */
const captureLog: RunSimulationOptions["captureLog"] = (upload) => {
  upload("hello\n");
  return () => {};
};

test("the calls of contract 8.5, in their order, and none about messages", async () => {
  const served = serveRun();
  const { outcome } = run(
    served,
    async (grid) => void expect(await grid.getNodeIds()).toHaveLength(2),
    { captureLog },
  );
  expect(await outcome).toMatchObject({
    kind: "completed",
    exitCode: 0,
    runId,
    finalStatus: { status: "finished", subStatus: "completed" },
  });
  expect(served.rpcs().filter((rpc) => rpc !== "PushLogs")).toEqual([
    "PullAppInputs",
    "GetFederationOptions",
    "SendAppHeartbeat",
    "PushAppOutputs",
    "UpdateRunStatus",
  ]);
  expect(served.requests(GetFederationOptionsRequestSchema)).toMatchObject([{ runId }]);
  expect(served.requests(PushLogsRequestSchema)).toMatchObject([
    { runId, node: { nodeId: 1n }, logs: ["hello\n"] },
  ]);
  expect(served.rpcs().indexOf("PushLogs")).toBeLessThan(served.rpcs().indexOf("UpdateRunStatus"));
  expect(finalStatuses(served)).toEqual([["finished", "completed", ""]]);
});

test.each([
  [Code.FailedPrecondition, { kind: "start rejected", exitCode: 700 }],
  [Code.Unauthenticated, { kind: "token lost", exitCode: 1 }],
  [Code.Internal, { kind: "failed", exitCode: 700 }],
  [Code.PermissionDenied, { kind: "run stopped", exitCode: 0 }],
])(
  "case 61: inputs that are refused with code %i end it, after one call with its token",
  async (code, end) => {
    const served = serveRun({ pullAppInputs: fail(code) });
    expect(await run(served, forever).outcome).toMatchObject({ ...end, finalStatus: undefined });
    expect(served.calls).toMatchObject([{ rpc: "PullAppInputs", headerToken: token }]);
  },
);

test.each<[string, Partial<Handlers>, string]>([
  [
    "no run",
    { pullAppInputs: () => ({ context: { runId } }) },
    "the server sent no run, no app bundle or no context",
  ],
  ["no options", { getFederationOptions: () => ({}) }, "num-supernodes"],
  [
    "options that it refuses",
    { getFederationOptions: fail(Code.FailedPrecondition) },
    "[failed_precondition] scripted",
  ],
  ["no place for outputs", { pushAppOutputs: fail(Code.Internal) }, "[internal] scripted"],
])("a server that has %s: finished/failed, exit code 700", async (_, handlers, details) => {
  const served = serveRun(handlers);
  expect(await run(served, () => {}).outcome).toMatchObject({ kind: "failed", exitCode: 700 });
  expect(finalStatuses(served)).toEqual([["finished", "failed", expect.stringContaining(details)]]);
});

test.each([Code.Unknown, Code.Unimplemented])(
  "options that the server does not tell, with code %i, are those that it sent with the inputs",
  async (code) => {
    const served = serveRun({
      pullAppInputs: () => ({
        ...{ context: { runId, nodeId: 1n }, run: { runId }, fab: {} },
        federationConfig: { numSupernodes: 4 },
      }),
      getFederationOptions: fail(code),
    });
    const { outcome } = run(served, async (grid) => {
      expect(await grid.getNodeIds()).toHaveLength(4);
    });
    expect(await outcome).toMatchObject({ kind: "completed" });
  },
);

test.each<[string, Partial<Handlers>]>([
  ["the options", { getFederationOptions: fail(Code.PermissionDenied) }],
  ["the outputs", { pushAppOutputs: fail(Code.PermissionDenied) }],
  ["the final status", { updateRunStatus: fail(Code.PermissionDenied) }],
])("a run that was stopped before %s: exit code 0, and no final status", async (_, handlers) => {
  const served = serveRun(handlers);
  expect(await run(served, () => {}).outcome).toMatchObject({
    kind: "run stopped",
    exitCode: 0,
    finalStatus: undefined,
  });
});

test("a stopped run is noticed within 3 s: heartbeats are no further apart", async () => {
  const served = serveRun();
  const { outcome, nextWait } = run(served, forever);
  expect((await nextWait()).ms).toBe(200); // The upload of logs.
  const heartbeat = await nextWait();
  expect(heartbeat.ms).toBe(3_000);
  served.revoke();
  heartbeat.end();
  expect(await outcome).toMatchObject({ kind: "token lost", exitCode: 1, finalStatus: undefined });
  expect(served.rpcs()).not.toContain("UpdateRunStatus");
});

test.each(["", undefined])("is refused with the token %j", async (noToken) => {
  const served = serveRun();
  // @ts-expect-error Neither is a Token: the compiler refuses it first.
  await expect(run(served, () => {}, { token: noToken }).outcome).rejects.toThrow(TypeError);
  expect(served.rpcs()).toEqual([]);
});
