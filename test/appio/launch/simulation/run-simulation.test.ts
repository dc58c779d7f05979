import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  type RunSimulationOptions,
  runSimulation,
} from "../../../../src/appio/launch/simulation/run-simulation.ts";
import { ArrayRecord } from "../../../../src/appio/objects/array-record.ts";
import { ConfigRecord } from "../../../../src/appio/objects/config-record.ts";
import { Message } from "../../../../src/appio/objects/message.ts";
import { NdArray } from "../../../../src/appio/objects/nd-array.ts";
import { RecordDict } from "../../../../src/appio/objects/record-dict.ts";
import type { ConfigValue } from "../../../../src/appio/objects/record-value.ts";
import { ServerApp, type ServerAppMain } from "../../../../src/appio/runtime/server-app.ts";
import { transportTo } from "../../../../src/client/located-transport.ts";
import { fabBytes } from "../../state/world.ts";
import { createSuperLinkWorld } from "../../superlink/world.ts";
import { fixture, watchThreads } from "./threads.ts";

type World = Awaited<ReturnType<typeof createSuperLinkWorld>>;

let world: World;
beforeAll(async () => {
  world = await createSuperLinkWorld({ now: Date.now });
});
afterAll(() => world[Symbol.asyncDispose]());

/** A claimed run of the simulation type, as a SuperExec leaves it. */
async function claimedRun(federationOptions: Record<string, ConfigValue>) {
  const { runs } = world.state;
  const [runId = 0n] = await runs.create({
    fab: fabBytes,
    runType: "simulation",
    federationOptions: new ConfigRecord(federationOptions).toProto(),
  });
  const token = await runs.claim(runId);
  if (token === undefined) {
    throw new Error("the run should have been pending");
  }
  return { runId, token };
}

/** Simulates a new run, to its end. */
async function simulate(
  main: ServerAppMain,
  {
    federationOptions = { "num-supernodes": 3n },
    clientApp = "client-app",
    ...options
  }: Partial<RunSimulationOptions> & {
    readonly federationOptions?: Record<string, ConfigValue>;
    readonly clientApp?: string;
  } = {},
) {
  using threads = watchThreads();
  const { runId, token } = await claimedRun(federationOptions);
  const outcome = await runSimulation({
    transport: transportTo(createGrpcTransport, { baseUrl: world.link.serverAppIoUrl }),
    token,
    loadApps: () => ({
      serverApp: new ServerApp().main(main),
      clientAppUrl: fixture(clientApp),
      config: { lr: 0.5 },
    }),
    captureLog: captureOutput,
    // One thread is enough where a test does not look at their number: each takes a while to start.
    ...("backend.init-args.num-cpus" in federationOptions ? {} : { workers: 1 }),
    ...options,
  });
  expect(threads.living()).toBe(0);
  const { text: log } = await world.state.logs.after(runId, 0);
  return { runId, outcome, started: threads.started(), status: await statusOf(runId), log };
}

async function statusOf(runId: bigint) {
  const { status, subStatus, details } = (await world.state.runs.find(runId))?.status ?? {};
  return [status, subStatus, details];
}

const completed = ["finished", "completed", ""];

/** Asks nodes something, a message each. */
function ask(nodeIds: readonly bigint[], messageType = "query", ttlSeconds = 60): Message[] {
  return nodeIds.map(
    (dstNodeId) => new Message({ content: new RecordDict(), messageType, dstNodeId, ttlSeconds }),
  );
}

const infoOf = (reply: Message) => Object.fromEntries(reply.content.getConfigRecord("info"));

test("20 virtual nodes, 3 rounds: every node trains in each, and keeps its context", async () => {
  const sums: number[] = [];
  const calls: bigint[] = [];
  const { outcome, status, started } = await simulate(
    async (grid, context) => {
      const nodeIds = await grid.getNodeIds();
      let w = new Float64Array([0, 10]);
      for (let round = 1; round <= 3; round++) {
        const model = new ArrayRecord({ w: NdArray.from(w) });
        const content = new RecordDict({ model });
        const messages = nodeIds.map(
          (dstNodeId) => new Message({ content, messageType: "train", dstNodeId }),
        );
        const replies = await grid.sendAndReceive(messages);
        const models = replies.map((reply) =>
          Array.from(reply.content.getArrayRecord("model").get("w").toTypedArray(), Number),
        );
        w = w.map((_, index) => models.reduce((sum, one) => sum + (one[index] ?? 0) / 20, 0));
        sums.push(w[0] ?? 0);
        calls.push(
          ...replies.map((reply) => reply.content.getConfigRecord("info").getInteger("calls")),
        );
      }
      context.state.set("final", new ConfigRecord({ w: Array.from(w) }));
    },
    { federationOptions: { "num-supernodes": 20n }, workers: 2 },
  );
  expect(outcome).toMatchObject({ kind: "completed", exitCode: 0 });
  expect(status).toEqual(completed);
  // Partition ids are 0 to 19, so a round adds 1 + 9.5 on average.
  expect(sums).toEqual([10.5, 21, 31.5].map((sum) => expect.closeTo(sum, 9)));
  expect(calls).toEqual([1n, 2n, 3n].flatMap((round) => Array.from({ length: 20 }, () => round)));
  expect(started).toBe(2);
}, 10_000);

test("partitions are numbered in the order of the node ids, which are random", async () => {
  const seen: bigint[][] = [];
  const look: ServerAppMain = async (grid) => {
    const nodeIds = await grid.getNodeIds();
    seen.push(nodeIds);
    const replies = await grid.sendAndReceive(ask(nodeIds));
    expect(replies.map(infoOf)).toEqual(
      nodeIds.map((nodeId, partition) => ({
        "partition-id": BigInt(partition),
        "num-partitions": 5n,
        lr: 0.5,
        nodeId,
        runId: grid.run.runId,
        threadId: expect.any(BigInt),
        calls: 1n,
      })),
    );
  };
  for (const _ of [1, 2]) {
    const { status } = await simulate(look, { federationOptions: { "num-supernodes": 5n } });
    expect(status).toEqual(completed);
  }
  const all = seen.flat();
  expect(new Set(all).size).toBe(10);
  expect(all.every((nodeId) => nodeId > 1n && nodeId < 2n ** 64n)).toBe(true);
});

test("the context that the ServerApp leaves behind is stored, and its run has a log", async () => {
  const { runId, status, log } = await simulate(async (grid, context) => {
    const nodeIds = await grid.getNodeIds();
    await grid.sendAndReceive(ask(nodeIds, "query.print"));
    expect({ ...context.runConfig }).toEqual({ lr: 0.5 });
    context.state.set("done", new ConfigRecord({ rounds: 2n }));
  });
  expect(status).toEqual(completed);
  expect(log.match(/printed\n/g)).toHaveLength(3);
  expect(log.match(/complained\n/g)).toHaveLength(3);
  const state = RecordDict.fromProto((await world.state.inputs.findContext(runId))?.state);
  expect(state.getConfigRecord("done").getInteger("rounds")).toBe(2n);
});

describe("federation options", () => {
  test.each<[string, Record<string, ConfigValue>, string]>([
    [
      "without num-supernodes",
      {},
      'a simulation needs the federation option "num-supernodes": how many virtual nodes it has',
    ],
    ["with none", { "num-supernodes": 0n }, wholeNumberText("num-supernodes", 1_000_000)],
    ["with a part of one", { "num-supernodes": 2.5 }, wholeNumberText("num-supernodes", 1_000_000)],
    ["with a text", { "num-supernodes": "3" }, wholeNumberText("num-supernodes", 1_000_000)],
    [
      "with verbosity of another type",
      { "num-supernodes": 3n, verbose: 1n },
      'the federation option "verbose" must be true or false',
    ],
  ])("%s: finished/failed, with the reason", async (_, federationOptions, details) => {
    const { outcome, status, started } = await simulate(unexpected, { federationOptions });
    expect(outcome).toMatchObject({ kind: "failed", exitCode: 700 });
    expect(status).toEqual(["finished", "failed", details]);
    expect(started).toBe(0);
  });

  test("of a backend of Flower's: its CPUs decide how many threads there are", async () => {
    const { started, status } = await simulate(
      async (grid) => void (await grid.sendAndReceive(ask(await grid.getNodeIds()))),
      {
        federationOptions: {
          "num-supernodes": 4,
          "backend.name": "ray",
          "backend.init-args.num-cpus": 7n,
          "backend.client-resources.num-cpus": 2n,
        },
      },
    );
    expect(status).toEqual(completed);
    expect(started).toBe(3);
  });

  test("verbose logs what each node did", async () => {
    const lines: string[] = [];
    await simulate(async (grid) => void (await grid.sendAndReceive(ask(await grid.getNodeIds()))), {
      federationOptions: { "num-supernodes": 2n, verbose: true },
      onLog: (line) => lines.push(line),
    });
    expect(lines.sort()).toEqual([
      expect.stringMatching(/^node 0: query took \d+ ms$/),
      expect.stringMatching(/^node 1: query took \d+ ms$/),
    ]);
  });
});

describe("a ClientApp that fails gives an error reply", () => {
  /** The errors with which one node answers messages of these types. */
  const errorsOf = async (clientApp: string, messageTypes: readonly string[]) => {
    const errors: unknown[] = [];
    const { status, log } = await simulate(
      async (grid) => {
        const [nodeId = 0n] = await grid.getNodeIds();
        for (const messageType of messageTypes) {
          const replies = await grid.sendAndReceive(ask([nodeId], messageType));
          errors.push(...replies.map(({ error }) => error));
        }
      },
      { clientApp },
    );
    expect(status).toEqual(completed);
    return { errors, log };
  };

  test.each([
    ["cannot be loaded", "broken-client-app", "this module does not load"],
    ["has no ClientApp", "no-client-app", "the bundle's client app must be a ClientApp"],
    ["does not exist", "missing-client-app", "Cannot find module"],
  ])("of code 1 when its module %s; why is in the log", async (_, clientApp, reason) => {
    const { errors, log } = await errorsOf(clientApp, ["train", "train"]);
    const text = "An exception was raised when attempting to load `ClientApp`";
    expect(errors).toEqual([
      { code: 1, reason: text },
      { code: 1, reason: text },
    ]);
    expect(log).toContain(`node 0: The ClientApp failed: ${reason}`);
  });

  test("of code 2 when it throws, returns no reply, or has no handler", async () => {
    const { errors, log } = await errorsOf("client-app", ["query.fail", "query.wrong", "evaluate"]);
    expect(errors).toEqual([
      { code: 2, reason: "<class 'RangeError'>:<'out of reach of partition 0'>" },
      { code: 2, reason: expect.stringContaining("the handler must return a Message") },
      { code: 2, reason: expect.stringContaining("no evaluate handler is registered") },
    ]);
    // All that it wrote before it answered, to the last line.
    expect(log).toMatch(
      /failed: out of reach of partition 0\n(node 0: +at .*\n)*node 0: +at .*client-app/,
    );
    expect(log).toMatch(/no evaluate handler .*\n(node 0: +at .*\n)+$/);
  });
});

test("the context keeps what a ClientApp changed before it threw, as in a federation", async () => {
  const { status } = await simulate(async (grid) => {
    const [nodeId = 0n] = await grid.getNodeIds();
    await grid.sendAndReceive(ask([nodeId], "query.fail"));
    const [reply] = await grid.sendAndReceive(ask([nodeId]));
    expect(reply && infoOf(reply)).toMatchObject({ calls: 2n });
  });
  expect(status).toEqual(completed);
});

describe("a worker thread that ends gives an error reply, and another takes its place", () => {
  test.each([
    ["process.exit", "query.exit", "The ClientApp's thread exited with code 7."],
    ["an error thrown at nobody", "query.crash", "The ClientApp's thread failed: thrown at nobody"],
    [
      "too little memory",
      "query.memory",
      "The ClientApp's thread failed: Worker terminated due to reaching memory limit: JS heap out of memory",
    ],
  ])("%s", async (_, messageType, reason) => {
    const { status, started } = await simulate(
      async (grid) => {
        const [first = 0n, second = 0n] = await grid.getNodeIds();
        await grid.sendAndReceive(ask([first, second]));
        const [crashed] = await grid.sendAndReceive(ask([first], messageType));
        expect(crashed?.error).toEqual({ code: 8, reason });
        expect(crashed?.metadata.srcNodeId).toBe(first);
        const replies = await grid.sendAndReceive(ask([first, second]));
        // What the crashed ClientApp did to its context is lost with its thread.
        expect(replies.map(infoOf)).toMatchObject([{ calls: 2n }, { calls: 2n }]);
      },
      { workers: 1, workerThreads: { maxHeapMb: 64 } },
    );
    expect(status).toEqual(completed);
    expect(started).toBe(2);
  });

  test("an endless loop, when the message's time is over", async () => {
    const { status, started } = await simulate(
      async (grid) => {
        const [first = 0n, second = 0n] = await grid.getNodeIds();
        const [looping] = await grid.sendAndReceive(ask([first], "query.loop", 0.3));
        expect(looping?.error).toMatchObject({ code: 3 });
        const replies = await grid.sendAndReceive(ask([first, second]));
        expect(replies.every((reply) => reply.hasContent())).toBe(true);
      },
      { workers: 1 },
    );
    expect(status).toEqual(completed);
    expect(started).toBe(2);
  });
});

describe("a ServerApp that fails ends its run as failed, with exit code 700", () => {
  test("when it throws, and no thread goes on", async () => {
    const { hasBegun, captureLog } = watchForLoop();
    const { outcome, status, started } = await simulate(
      async (grid) => {
        await grid.pushMessages(ask(await grid.getNodeIds(), "query.loop"));
        await hasBegun;
        throw new RangeError("too far");
      },
      { captureLog },
    );
    expect(outcome).toMatchObject({
      kind: "failed",
      exitCode: 700,
      finalStatus: { subStatus: "failed" },
    });
    expect(status).toEqual(["finished", "failed", "too far"]);
    expect(started).toBeGreaterThan(0);
  });

  test.each<[string, RunSimulationOptions["loadApps"], string]>([
    ["cannot be loaded", () => Promise.reject(new Error("no such bundle")), "no such bundle"],
    [
      "is none",
      () => ({ serverApp: {}, clientAppUrl: fixture("client-app") }),
      "the bundle's server app must be a ServerApp: new ServerApp().main(...)",
    ],
  ])("when it %s", async (_, loadApps, details) => {
    const { outcome, status } = await simulate(unexpected, { loadApps });
    expect(outcome).toMatchObject({ kind: "failed", exitCode: 700 });
    expect(status).toEqual(["finished", "failed", details]);
  });
});

test("a run that is stopped in the middle: its threads go, and its status stays", async () => {
  const { hasBegun, captureLog } = watchForLoop();
  let appSignal: AbortSignal | undefined;
  const { outcome, status, started } = await simulate(
    async (grid, _, { signal }) => {
      appSignal = signal;
      await grid.pushMessages(ask(await grid.getNodeIds(), "query.loop"));
      await hasBegun;
      await world.state.runs.stop(grid.run.runId);
      await new Promise(() => {});
    },
    { maxHeartbeatMs: 50, captureLog },
  );
  expect(outcome).toMatchObject({ kind: "token lost", exitCode: 1, finalStatus: undefined });
  expect(status).toEqual(["finished", "stopped", ""]);
  expect(appSignal?.aborted).toBe(true);
  expect(started).toBeGreaterThan(0);
});

test("a thread that blocks in native code does not keep its run from ending", async () => {
  using threads = watchThreads();
  const file = join(await mkdtemp(join(tmpdir(), "countersign-block-")), "blocked");
  const { token, runId } = await claimedRun({ "num-supernodes": 1n });
  const lines: string[] = [];
  const outcome = await runSimulation({
    transport: transportTo(createGrpcTransport, { baseUrl: world.link.serverAppIoUrl }),
    token,
    loadApps: () => ({
      serverApp: new ServerApp().main(async (grid) => {
        const [dstNodeId = 0n] = await grid.getNodeIds();
        const content = new RecordDict({ block: new ConfigRecord({ file }) });
        await grid.pushMessages([new Message({ content, messageType: "query.block", dstNodeId })]);
        await expect.poll(() => existsSync(file), { timeout: 20_000 }).toBe(true);
      }),
      clientAppUrl: fixture("client-app"),
    }),
    threadGraceMs: 1,
    onLog: (line) => lines.push(line),
  });
  expect(outcome).toMatchObject({ kind: "completed" });
  expect(await statusOf(runId)).toEqual(completed);
  expect(lines).toEqual(["A worker thread blocks in native code and cannot be ended."]);
  expect(threads.living()).toBe(1);
  await rm(dirname(file), { recursive: true });
  await expect.poll(threads.living, { timeout: 20_000 }).toBe(0);
});

test("an interrupted simulation: its threads go, and its run has failed", async () => {
  const { hasBegun, captureLog } = watchForLoop();
  const interrupt = new AbortController();
  const { outcome, status, started } = await simulate(
    async (grid) => {
      const replies = grid.sendAndReceive(ask(await grid.getNodeIds(), "query.loop"));
      await hasBegun;
      interrupt.abort();
      await expect(replies).rejects.toThrow("The app was interrupted.");
    },
    { signal: interrupt.signal, captureLog },
  );
  expect(outcome).toMatchObject({ kind: "interrupted", exitCode: 1 });
  expect(status).toEqual(["finished", "failed", "The app was interrupted."]);
  expect(started).toBeGreaterThan(0);
});

test("a run that was started before: exit code 700, and nothing is changed", async () => {
  const { runId, token } = await claimedRun({ "num-supernodes": 2n });
  await world.app(token).pullAppInputs({});
  const outcome = await runSimulation({
    transport: transportTo(createGrpcTransport, { baseUrl: world.link.serverAppIoUrl }),
    token,
    loadApps: () => Promise.reject(new Error("unexpected")),
  });
  expect(outcome).toMatchObject({ kind: "start rejected", exitCode: 700, runId: undefined });
  expect(await statusOf(runId)).toEqual(["running", "", ""]);
});

test.each([0, -1, 1.5, Number.NaN])("refuses %d workers", async (workers) => {
  const { token } = await claimedRun({ "num-supernodes": 2n });
  await expect(
    runSimulation({
      transport: transportTo(createGrpcTransport, { baseUrl: world.link.serverAppIoUrl }),
      token,
      loadApps: () => Promise.reject(new Error("unexpected")),
      workers,
    }),
  ).rejects.toThrow(new TypeError(`"workers" must be a positive integer, not ${workers}`));
});

function unexpected(): never {
  throw new Error("the ServerApp should not have been run");
}

function wholeNumberText(key: string, most: number): string {
  return `the federation option "${key}" must be a whole number from 1 to ${most}`;
}

/** Tells when a ClientApp has begun a loop that never ends. */
function watchForLoop() {
  const { promise: hasBegun, resolve } = Promise.withResolvers<void>();
  const captureLog: RunSimulationOptions["captureLog"] = (upload) =>
    captureOutput((text) => {
      upload(text);
      if (text.includes("begins to loop")) resolve();
    });
  return { hasBegun, captureLog };
}

/** Uploads what this process writes, instead of writing it. */
function captureOutput(upload: (text: string) => void): () => void {
  const restore = [process.stdout, process.stderr].map((stream) => {
    const { write } = stream;
    stream.write = (chunk: string | Uint8Array) => {
      upload(typeof chunk === "string" ? chunk : Buffer.from(chunk).toString("utf8"));
      return true;
    };
    return () => {
      stream.write = write;
    };
  });
  return () => {
    for (const undo of restore) undo();
  };
}
