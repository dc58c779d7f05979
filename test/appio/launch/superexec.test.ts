import { fileURLToPath } from "node:url";
import { inspect } from "node:util";
import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { afterEach, describe, expect, it } from "vitest";
import { type ChildHandle, spawnWithToken } from "../../../src/appio/launch/child.ts";
import {
  type LaunchRequest,
  runSuperExec,
  type SuperExecEvent,
  type SuperExecOptions,
} from "../../../src/appio/launch/superexec.ts";
import { serverAppIoPolicy } from "../../../src/appio/policy.ts";
import { transportTo } from "../../../src/client/located-transport.ts";
import { service, unimplemented } from "../../../src/guard/service.ts";
import { digestToken, parseToken, type Token } from "../../../src/policy/token.ts";
import { type Server, serve } from "../../../src/serve/serve.ts";

interface AppList {
  /** Type of each listed run. */
  readonly runs: Map<bigint, string>;
  /** Runs that are listed but never granted: another launcher is always faster. */
  readonly refused: Set<bigint>;
  /** Runs whose claim fails. */
  readonly broken: Set<bigint>;
  /** Times each run was asked to be claimed. */
  readonly claims: bigint[];
  readonly tokens: Map<bigint, Token>;
}

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) {
    await cleanup();
  }
});

/** Serves the three open RPCs over a list that the test fills. */
async function serveApps(runs: [bigint, string][]): Promise<{ list: AppList; server: Server }> {
  const list: AppList = {
    runs: new Map(runs),
    refused: new Set(),
    broken: new Set(),
    claims: [],
    tokens: new Map(),
  };
  const server = await serve({
    services: [
      service(serverAppIoPolicy, {
        sendAppHeartbeat: unimplemented,
        pullAppInputs: unimplemented,
        pushAppOutputs: unimplemented,
        pushObject: unimplemented,
        pullObject: unimplemented,
        confirmMessageReceived: unimplemented,
        updateRunStatus: unimplemented,
        pushLogs: unimplemented,
        getFederationOptions: unimplemented,
        pushMessages: unimplemented,
        pullMessages: unimplemented,
        getNodes: unimplemented,
        listAppsToLaunch: () => ({
          runIds: [...list.runs.keys()].filter((runId) => !list.tokens.has(runId)),
        }),
        getRun: ({ runId }) => ({ run: { runId, runType: list.runs.get(runId) ?? "" } }),
        requestToken: ({ runId }) => {
          list.claims.push(runId);
          if (list.broken.has(runId)) {
            throw new ConnectError("This run is broken.", Code.Internal);
          }
          if (list.refused.has(runId) || list.tokens.has(runId)) {
            return { token: "" };
          }
          const token = parseToken(`${runId}`.padStart(256, "0"));
          list.tokens.set(runId, token);
          return { token };
        },
      }),
    ],
    verifiers: { appToken: () => undefined },
    port: 0,
  });
  cleanups.push(() => server.close());
  return { list, server };
}

/** Runs a SuperExec until the test ends, and keeps what it tells. */
function start(
  server: Server,
  options: Partial<SuperExecOptions> & Pick<SuperExecOptions, "launch">,
) {
  const events: SuperExecEvent[] = [];
  const stopping = new AbortController();
  const ended = runSuperExec({
    appIo: server.url,
    pluginType: "serverapp",
    pollIntervalMs: 5,
    onEvent: (event) => events.push(event),
    signal: stopping.signal,
    ...options,
  });
  ended.catch(() => {});
  const stop = () => {
    stopping.abort();
    return ended;
  };
  cleanups.push(() => stop().catch(() => {}));
  return { events, ended, stop };
}

const fixture = fileURLToPath(new URL("fixtures/child-app.mjs", import.meta.url));

/** Starts real processes and keeps the requests and what the children wrote. */
function childLauncher(behaviour: string) {
  const requests: LaunchRequest[] = [];
  const lines: string[] = [];
  const launch = (request: LaunchRequest): ChildHandle => {
    requests.push(request);
    return spawnWithToken({
      token: request.token,
      command: { command: process.execPath, args: [fixture, behaviour] },
      onLine: ({ text }) => lines.push(text),
    });
  };
  return { launch, requests, lines };
}

/** Processes take long to start on a busy machine. */
const eventually = <T>(read: () => T) => expect.poll(read, { timeout: 20_000, interval: 10 });

const exits = (events: SuperExecEvent[]) => events.filter(({ kind }) => kind === "exited");

describe("runSuperExec", () => {
  it("starts one child per token, which gets that token", async () => {
    const { list, server } = await serveApps([
      [1n, "serverapp"],
      [2n, "serverapp"],
    ]);
    const { launch, requests, lines } = childLauncher("leave");
    const { events } = start(server, { launch });
    await eventually(() => exits(events)).toHaveLength(2);
    expect(requests.map(({ runId }) => runId)).toEqual([1n, 2n]);
    expect(requests.every(({ address }) => address === server.url)).toBe(true);
    for (const token of list.tokens.values()) {
      expect(lines).toContain(`digest ${digestToken(token)}`);
    }
    expect(exits(events)).toContainEqual({
      kind: "exited",
      runId: 1n,
      exit: { code: 3, signal: null },
    });
  });

  it("looks at a run's type before it spends the token", async () => {
    const { list, server } = await serveApps([
      [1n, "other"],
      [2n, "serverapp"],
    ]);
    const { launch, requests } = childLauncher("leave");
    const { events } = start(server, { launch });
    await eventually(() => exits(events)).toHaveLength(1);
    expect(requests.map(({ runId }) => runId)).toEqual([2n]);
    expect(list.claims).toEqual([2n]);
    expect(events).toContainEqual({
      kind: "skipped",
      runId: 1n,
      reason: 'run type "other" is not launched here',
    });
  });

  it("launches simulations where it launches ServerApps, and says which is which", async () => {
    const { server } = await serveApps([
      [1n, "simulation"],
      [2n, "serverapp"],
    ]);
    const { launch, requests } = childLauncher("leave");
    const { events } = start(server, { launch });
    await eventually(() => exits(events)).toHaveLength(2);
    expect(requests.map(({ runId, pluginType, appType }) => [runId, pluginType, appType])).toEqual([
      [1n, "serverapp", "simulation"],
      [2n, "serverapp", "serverapp"],
    ]);
  });

  it("does not let the first run keep the others from being launched", async () => {
    const { list, server } = await serveApps([
      [1n, "serverapp"],
      [2n, "serverapp"],
      [3n, "serverapp"],
    ]);
    list.refused.add(1n);
    list.broken.add(2n);
    const { launch } = childLauncher("leave");
    const { events } = start(server, { launch });
    await eventually(() => exits(events)).toHaveLength(1);
    expect(exits(events)).toMatchObject([{ runId: 3n }]);
    await eventually(() => list.claims.filter((runId) => runId === 1n).length).toBeGreaterThan(2);
    expect(events.filter(({ kind }) => kind === "skipped")).toEqual([
      { kind: "skipped", runId: 1n, reason: "claimed by another" },
      { kind: "skipped", runId: 2n, reason: "[internal] This run is broken." },
    ]);
  });

  it("keeps to the number of children it may run", async () => {
    const { list, server } = await serveApps([
      [1n, "serverapp"],
      [2n, "serverapp"],
    ]);
    const endings: (() => void)[] = [];
    const launch = (): ChildHandle => {
      const exited = new Promise<{ code: number; signal: null }>((resolve) => {
        endings.push(() => resolve({ code: 0, signal: null }));
      });
      return { pid: undefined, exited, stop: () => exited };
    };
    const { events } = start(server, { launch, maxConcurrent: 1 });
    await eventually(() => endings.length).toBe(1);
    const polls = () =>
      server.counters().find(({ method }) => method.endsWith("ListAppsToLaunch"))?.allowed ?? 0;
    const before = polls();
    await eventually(polls).toBeGreaterThan(before + 2);
    expect([...list.tokens.keys()]).toEqual([1n]);
    endings[0]?.();
    await eventually(() => endings.length).toBe(2);
    endings[1]?.();
    expect(events.map(({ kind }) => kind).slice(0, 3)).toEqual(["launched", "exited", "launched"]);
  });

  it("goes on when a launch fails, and tells no token", async () => {
    const { list, server } = await serveApps([
      [1n, "serverapp"],
      [2n, "serverapp"],
    ]);
    const working = childLauncher("leave");
    const launch = (request: LaunchRequest) => {
      if (request.runId === 1n) {
        throw new Error("no such program");
      }
      return working.launch(request);
    };
    const { events } = start(server, { launch });
    await eventually(() => exits(events)).toHaveLength(1);
    expect(events).toContainEqual({
      kind: "skipped",
      runId: 1n,
      reason: "launch failed: no such program",
    });
    for (const token of list.tokens.values()) {
      expect(inspect([events, working.requests], { depth: null })).not.toContain(token);
      expect(inspect(working.requests, { showHidden: true })).not.toContain(token);
    }
  });

  it("stops its children when it is stopped", async () => {
    const { server } = await serveApps([[1n, "serverapp"]]);
    const { launch, lines } = childLauncher("stay");
    const { events, stop } = start(server, { launch });
    await eventually(() => lines.some((line) => line.startsWith("digest"))).toBe(true);
    await stop();
    expect(exits(events)).toMatchObject([{ exit: { code: 0, signal: null } }]);
    expect(lines).toContain("parent is gone");
  });

  it("fails when the service refuses to list apps", async () => {
    const { server } = await serveApps([]);
    const { ended } = start(server, {
      launch: childLauncher("leave").launch,
      pluginType: "clientapp",
    });
    await expect(ended).rejects.toMatchObject({
      code: Code.Unauthenticated,
      rawMessage: "Authentication failed.",
    });
  });

  it("asks a service that is unavailable again", async () => {
    const { server } = await serveApps([[1n, "serverapp"]]);
    let failures = 3;
    const failFirst: Interceptor = (next) => (request) => {
      failures -= 1;
      if (failures >= 0) {
        throw new ConnectError("not up yet", Code.Unavailable);
      }
      return next(request);
    };
    const transport = transportTo(createGrpcTransport, {
      baseUrl: server.url,
      interceptors: [failFirst],
    });
    const waits: number[] = [];
    const { launch } = childLauncher("leave");
    const { events } = start(server, {
      launch,
      transport,
      retry: { onRetry: ({ tries }) => waits.push(tries), sleep: async () => {} },
    });
    await eventually(() => exits(events)).toHaveLength(1);
    expect(waits).toEqual([1, 2, 3]);
  });

  it("refuses options that are not usable", async () => {
    const { launch } = childLauncher("leave");
    const { signal } = new AbortController();
    const options = {
      appIo: "http://127.0.0.1:1",
      pluginType: "clientapp",
      launch,
      signal,
    } as const;
    for (const pollIntervalMs of [Number.NaN, -1, Number.POSITIVE_INFINITY]) {
      await expect(runSuperExec({ ...options, pollIntervalMs })).rejects.toThrow(
        new TypeError('"pollIntervalMs" must be a number of milliseconds from 0 to 2147483647'),
      );
    }
    await expect(runSuperExec({ ...options, maxConcurrent: 0 })).rejects.toThrow(
      new TypeError('"maxConcurrent" must be at least 1'),
    );
    await expect(runSuperExec({ ...options, appIo: "127.0.0.1:9091" })).rejects.toThrow(
      /^"appIo" must be an http: or https: URL/,
    );
  });

  it("tells children a loopback address where the service listens on every one", async () => {
    const { server } = await serveApps([[1n, "serverapp"]]);
    const { launch, requests } = childLauncher("leave");
    start(server, { launch, appIo: `http://0.0.0.0:${server.port}` });
    await eventually(() => requests.map(({ address }) => address)).toEqual([server.url]);
  });
});
