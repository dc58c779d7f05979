import { createServer } from "node:net";
import { inspect } from "node:util";
import { Code, ConnectError } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { describe, expect, test } from "vitest";
import {
  PullAppInputsRequestSchema,
  PushAppOutputsRequestSchema,
} from "../../../gen/flwr/proto/appio_pb.ts";
import { SendAppHeartbeatRequestSchema } from "../../../gen/flwr/proto/heartbeat_pb.ts";
import { PushLogsRequestSchema } from "../../../gen/flwr/proto/log_pb.ts";
import { SimulationIoClient } from "../../../gen/flwr/proto/simulationio_countersign.ts";
import { ConfigRecord } from "../../../src/appio/objects/config-record.ts";
import { serverAppIoPolicy, simulationIoPolicy } from "../../../src/appio/policy.ts";
import { createRetry, RunNotRunningError } from "../../../src/appio/runtime/retry.ts";
import { SimulationIoConnection } from "../../../src/appio/runtime/simulation-io.ts";
import { transportTo } from "../../../src/client/located-transport.ts";
import { createGuard } from "../../../src/guard/guard.ts";
import { type HandlersOf, service, unimplemented } from "../../../src/guard/service.ts";
import { oneTokenVerifier, record, runId, token } from "./recorded-service.ts";

/** A guarded ServerAppIo that knows one run, and records every call. */
function serveRun(handlers: Partial<HandlersOf<typeof serverAppIoPolicy>> = {}) {
  const guard = createGuard({
    services: [
      service(serverAppIoPolicy, {
        listAppsToLaunch: unimplemented,
        requestToken: unimplemented,
        getRun: unimplemented,
        sendAppHeartbeat: () => ({ success: true }),
        pullAppInputs: () => ({ run: { runId }, context: { runId, nodeId: 1n } }),
        pushAppOutputs: () => ({}),
        pushObject: unimplemented,
        pullObject: unimplemented,
        confirmMessageReceived: unimplemented,
        updateRunStatus: () => ({}),
        pushLogs: () => ({}),
        getFederationOptions: () => ({
          federationOptions: new ConfigRecord({ "num-supernodes": 3n, backend: "ray" }).toProto(),
        }),
        pushMessages: unimplemented,
        pullMessages: unimplemented,
        getNodes: unimplemented,
        ...handlers,
      }),
    ],
    verifiers: { appToken: oneTokenVerifier().verify },
  });
  return record(guard.routes);
}

/** Makes every call that there is. */
async function callAll(connection: SimulationIoConnection) {
  await connection.pullAppInputs();
  await connection.getFederationOptions(runId);
  await connection.sendAppHeartbeat();
  await connection.pushLogs(runId, 1n, ["a line"]);
  await connection.pushAppOutputs(runId, { runId });
  await connection.updateRunStatus(runId, { status: "finished", subStatus: "completed" });
}

describe("case 59: construction", () => {
  const { transport } = serveRun();

  test("is refused without a token, or with an empty one", () => {
    // @ts-expect-error the token is required
    expect(() => new SimulationIoConnection({ transport })).toThrow(TypeError);
    // @ts-expect-error a string is no token
    expect(() => new SimulationIoConnection({ transport, token: "" })).toThrow(TypeError);
  });

  test("is refused with a transport that would send the token to somebody else in plaintext", () => {
    const open = transportTo(createGrpcTransport, { baseUrl: "http://superlink.example:9091" });
    expect(() => new SimulationIoConnection({ transport: open, token })).toThrow(TypeError);
    expect(() => new SimulationIoConnection({ transport: { ...open }, token })).toThrow(TypeError);
  });

  test("keeps the token to itself", () => {
    const connection = new SimulationIoConnection({ transport, token });
    expect(inspect(connection, { depth: 9, showHidden: true })).not.toContain(token);
    expect(JSON.stringify(connection)).not.toContain(token);
  });
});

describe("case 60: the connection", () => {
  test("is to ServerAppIo, and every call carries the one token", async () => {
    const served = serveRun();
    await callAll(new SimulationIoConnection({ transport: served.transport, token }));
    expect(served.rpcs()).toEqual([
      "PullAppInputs",
      "GetFederationOptions",
      "SendAppHeartbeat",
      "PushLogs",
      "PushAppOutputs",
      "UpdateRunStatus",
    ]);
    expect(served.calls.map(({ headerToken }) => headerToken)).toEqual(
      served.calls.map(() => token),
    );
    for (const schema of [
      PullAppInputsRequestSchema,
      SendAppHeartbeatRequestSchema,
      PushAppOutputsRequestSchema,
    ]) {
      expect(served.requests(schema).map((request) => request.token)).toEqual([token]);
    }
    expect(served.requests(PushLogsRequestSchema)).toMatchObject([
      { runId, node: { nodeId: 1n }, logs: ["a line"] },
    ]);
  });

  test("is made with the first call", async () => {
    const accepted: string[] = [];
    const server = createServer((socket) => {
      accepted.push("connected");
      socket.destroy();
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const address = server.address();
    const port = typeof address === "object" ? address?.port : 0;
    const transport = transportTo(createGrpcTransport, { baseUrl: `http://127.0.0.1:${port}` });
    const connection = new SimulationIoConnection({ transport, token });
    await new Promise(setImmediate);
    expect(accepted).toEqual([]);
    await expect(connection.sendAppHeartbeat()).rejects.toThrow(ConnectError);
    expect(accepted).toEqual(["connected"]);
    await new Promise((resolve) => server.close(resolve));
  });
});

test("inputs, options and outputs are asked for again while the server is unavailable; the rest is not", async () => {
  const failures = new Set<string>();
  const once = <T>(name: string, answer: T) => {
    if (!failures.has(name)) {
      failures.add(name);
      throw new ConnectError("scripted", Code.Unavailable);
    }
    return answer;
  };
  const served = serveRun({
    pullAppInputs: () => once("inputs", {}),
    getFederationOptions: () => once("options", {}),
    pushAppOutputs: () => once("outputs", {}),
    sendAppHeartbeat: () => once("heartbeat", { success: true }),
    pushLogs: () => once("logs", {}),
    updateRunStatus: () => once("status", {}),
  });
  const retry = createRetry({ sleep: async () => {} });
  const connection = new SimulationIoConnection({ transport: served.transport, token, retry });
  await connection.pullAppInputs();
  expect((await connection.getFederationOptions(runId)).size).toBe(0);
  await connection.pushAppOutputs(runId, {});
  await expect(connection.sendAppHeartbeat()).rejects.toThrow("scripted");
  await expect(connection.pushLogs(runId, 0n, [])).rejects.toThrow("scripted");
  await expect(connection.updateRunStatus(runId, {})).rejects.toThrow("scripted");
  expect(served.calls).toHaveLength(9);
});

test("a run that is not running is told by an error of its own", async () => {
  const served = serveRun({
    getFederationOptions: () => {
      throw new ConnectError("Run is finished. Stopped by user.", Code.PermissionDenied);
    },
  });
  const connection = new SimulationIoConnection({ transport: served.transport, token });
  await expect(connection.getFederationOptions(runId)).rejects.toThrow(
    new RunNotRunningError("Run is finished. Stopped by user."),
  );
});

test("SimulationIo has the rules that its RPCs have on ServerAppIo, and a client that keeps to them", async () => {
  const { rules } = simulationIoPolicy;
  expect(Object.keys(rules)).toHaveLength(9);
  expect(serverAppIoPolicy.rules).toMatchObject(rules);

  const guard = createGuard({
    services: [
      service(simulationIoPolicy, {
        listAppsToLaunch: () => ({ runIds: [runId] }),
        requestToken: unimplemented,
        getRun: unimplemented,
        sendAppHeartbeat: (_, { caller }) => ({ success: caller.runId === runId }),
        pullAppInputs: unimplemented,
        pushAppOutputs: unimplemented,
        updateRunStatus: unimplemented,
        pushLogs: unimplemented,
        getFederationOptions: unimplemented,
      }),
    ],
    verifiers: { appToken: oneTokenVerifier().verify },
  });
  const { transport, calls } = record(guard.routes);
  const client = new SimulationIoClient(simulationIoPolicy, transport, { appToken: token });
  expect(await client.listAppsToLaunch({})).toMatchObject({ runIds: [runId] });
  expect(await client.sendAppHeartbeat({ token })).toMatchObject({ success: true });
  expect(calls.map(({ headerToken }) => headerToken)).toEqual([null, token]);
});
