import { createHash } from "node:crypto";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { expect, test } from "vitest";
import { ContextSchema } from "../../../../gen/flwr/proto/message_pb.ts";
import { RunSchema } from "../../../../gen/flwr/proto/run_pb.ts";
import {
  packDeflated,
  unpackMessage,
} from "../../../../src/appio/launch/simulation/message-packet.ts";
import {
  SimulationGrid,
  type SimulationGridOptions,
} from "../../../../src/appio/launch/simulation/simulation-grid.ts";
import { createVirtualNodes } from "../../../../src/appio/launch/simulation/virtual-nodes.ts";
import type {
  WorkerAnswer,
  WorkerTask,
} from "../../../../src/appio/launch/simulation/worker-protocol.ts";
import { ArrayRecord } from "../../../../src/appio/objects/array-record.ts";
import { ConfigRecord } from "../../../../src/appio/objects/config-record.ts";
import { deflate } from "../../../../src/appio/objects/deflate.ts";
import { Message, type MessageInit } from "../../../../src/appio/objects/message.ts";
import { NdArray } from "../../../../src/appio/objects/nd-array.ts";
import { RecordDict } from "../../../../src/appio/objects/record-dict.ts";
import { manualSleep } from "../../runtime/manual-sleep.ts";

const runId = 2n ** 63n + 5n;

/** A message that is being worked on, until the test says what becomes of it. */
interface Work {
  readonly message: Message;
  readonly context: Uint8Array;
  readonly signal: AbortSignal;
  reply(content?: RecordDict, context?: Uint8Array): void;
  fail(error: Error): void;
}

/** A grid of three nodes whose work the test does, and whose time it keeps. */
function createWorld(options: Partial<SimulationGridOptions> = {}) {
  const works: Work[] = [];
  const takers: ((work: Work) => void)[] = [];
  const pool = {
    answer: (makeTask: () => WorkerTask, signal: AbortSignal) =>
      new Promise<WorkerAnswer>((resolve, reject) => {
        signal.throwIfAborted();
        const { packet, context } = makeTask();
        const message = unpackMessage(packet);
        const work: Work = {
          message,
          context,
          signal,
          reply: (content = new RecordDict(), left = context) =>
            resolve({
              packet: packDeflated(deflate(message.reply(content))),
              context: left.slice(),
            }),
          fail: reject,
        };
        signal.addEventListener("abort", () => reject(signal.reason), { once: true });
        const taker = takers.shift();
        if (taker === undefined) works.push(work);
        else taker(work);
      }),
  };
  const stopping = new AbortController();
  const clock = { ms: Date.now() };
  const { sleep, next } = manualSleep();
  const nodes = createVirtualNodes(runId, 3, {});
  const grid = new SimulationGrid({
    run: create(RunSchema, { runId }),
    nodes,
    pool,
    signal: stopping.signal,
    createSha256: () => createHash("sha256"),
    now: () => clock.ms,
    sleep,
    ...options,
  });
  const nextWork = () =>
    new Promise<Work>((resolve) => {
      const work = works.shift();
      if (work === undefined) takers.push(resolve);
      else resolve(work);
    });
  const [first = 0n, second = 0n, third = 0n] = nodes.keys();
  return {
    grid,
    nodes,
    nodeIds: [first, second, third] as const,
    works,
    nextWork,
    nextWait: next,
    clock,
    stopping,
  };
}

const to = (dstNodeId: bigint, more: Partial<MessageInit> = {}) =>
  new Message({ content: new RecordDict(), messageType: "train", ...more, dstNodeId });

const settled = () => new Promise<void>((resolve) => setImmediate(resolve));

test("a message reaches its node as it was sent, and its reply comes back, once", async () => {
  const { grid, nodeIds, nextWork } = createWorld();
  const w = new Float32Array(3_000_000).fill(0.5); // More than two chunks.
  const content = new RecordDict({
    model: new ArrayRecord({ w: NdArray.from(w, [3, 1_000_000]) }),
  });
  const [id = ""] = await grid.pushMessages([to(nodeIds[1], { content, groupId: "round-1" })]);
  const work = await nextWork();
  expect(work.message.metadata).toMatchObject({
    runId,
    messageId: id,
    srcNodeId: 1n,
    dstNodeId: nodeIds[1],
    groupId: "round-1",
    messageType: "train",
  });
  expect(deflate(work.message).id).toBe(id);
  const received = work.message.content.getArrayRecord("model").get("w");
  expect(received.shape).toEqual([3, 1_000_000]);
  expect(received.toTypedArray().every((value) => value === 0.5)).toBe(true);

  expect(await grid.pullMessages([id])).toEqual([]);
  work.reply(new RecordDict({ done: new ConfigRecord({ ok: true }) }));
  await settled();
  const [reply, ...others] = await grid.pullMessages([id, id]);
  expect(others).toEqual([]);
  expect(reply?.metadata).toMatchObject({
    runId,
    replyToMessageId: id,
    srcNodeId: nodeIds[1],
    dstNodeId: 1n,
    groupId: "round-1",
  });
  expect(reply && deflate(reply).id).toBe(reply?.metadata.messageId);
  expect(reply?.content.getConfigRecord("done").getBoolean("ok")).toBe(true);
  expect(await grid.pullMessages([id])).toMatchObject([
    { metadata: { replyToMessageId: id, srcNodeId: 1n, dstNodeId: 1n }, error: { code: 3 } },
  ]);
});

test("records may change once they are sent: a node that works later sees what was sent", async () => {
  const { grid, nodeIds, nextWork } = createWorld();
  const w = new Float64Array([1, 2]);
  const content = new RecordDict({ model: new ArrayRecord({ w: NdArray.from(w) }) });
  await grid.pushMessages([
    to(nodeIds[0]),
    to(nodeIds[0], { content }),
    to(nodeIds[1], { content }),
  ]);
  w.fill(9);
  const [empty, other] = [await nextWork(), await nextWork()];
  empty.reply();
  const later = await nextWork();
  for (const { message } of [other, later]) {
    const received = message.content.getArrayRecord("model").get("w");
    expect(Array.from(received.toTypedArray(), Number)).toEqual([1, 2]);
    // Each node has bytes of its own: what one does to them the others do not see.
    received.pieces[0]?.fill(0);
  }
});

test("a node works on one message at a time, in order, and others meanwhile", async () => {
  const { grid, nodeIds, works, nextWork } = createWorld();
  const number = (value: bigint) => new RecordDict({ n: new ConfigRecord({ value }) });
  const ids = await grid.pushMessages([
    to(nodeIds[0], { content: number(1n) }),
    to(nodeIds[0], { content: number(2n) }),
    to(nodeIds[2], { content: number(3n) }),
  ]);
  const [first, other] = [await nextWork(), await nextWork()];
  expect([first, other].map(({ message }) => message.metadata.messageId)).toEqual([ids[0], ids[2]]);
  await settled();
  expect(works).toEqual([]);
  const context = fromBinary(ContextSchema, first.context);
  context.runConfig.mark = {
    $typeName: "flwr.proto.Scalar",
    scalar: { case: "bool", value: true },
  };
  first.reply(new RecordDict(), toBinary(ContextSchema, context));
  const second = await nextWork();
  expect(second.message.metadata.messageId).toBe(ids[1]);
  // It finds the context as the first has left it; the other node has its own.
  expect(fromBinary(ContextSchema, second.context).runConfig.mark?.scalar.value).toBe(true);
  expect(fromBinary(ContextSchema, other.context).runConfig).toEqual({});
});

test("a message for a node that is not there is refused, and has an error reply", async () => {
  const { grid, nodeIds, nextWork } = createWorld();
  expect(await grid.pushMessages([to(2n), to(nodeIds[0])])).toEqual([
    "",
    expect.stringMatching(/^[0-9a-f]{64}$/),
  ]);
  (await nextWork()).reply();
  expect(await grid.sendAndReceive([to(2n)])).toMatchObject([{ error: { code: 3 } }]);
});

test.each<[string, (nodeId: bigint) => Message, Error]>([
  [
    "a reply",
    (nodeId) => to(nodeId).withMetadata({ messageId: "m" }).reply(new RecordDict()),
    new TypeError("a grid sends instructions, but one of the messages is a reply"),
  ],
  [
    "no time to live",
    (nodeId) => to(nodeId, { ttlSeconds: 0 }),
    new TypeError("a message must have time to live, not 0 seconds"),
  ],
  [
    "a type that a SuperLink would not take",
    (nodeId) => to(nodeId, { messageType: "dance" }),
    new ConnectError("Malformed PushMessages: `message_type` is unknown", Code.InvalidArgument),
  ],
  [
    "the SuperLink for a destination",
    () => to(1n),
    new ConnectError(
      "Malformed PushMessages: `dst_node_id` is not a SuperNode's",
      Code.InvalidArgument,
    ),
  ],
])("all or nothing: a message that is or has %s fails the call", async (_, make, error) => {
  const { grid, nodeIds, works } = createWorld();
  await expect(grid.pushMessages([to(nodeIds[0]), make(nodeIds[1])])).rejects.toThrow(error);
  await settled();
  expect(works).toEqual([]);
});

test("sending nothing asks nobody", async () => {
  const { grid } = createWorld();
  expect(await grid.pushMessages([])).toEqual([]);
  expect(await grid.sendAndReceive([])).toEqual([]);
});

test("a message that is sent again while it is at work is not worked on twice", async () => {
  const { grid, nodeIds, works, nextWork } = createWorld();
  const message = to(nodeIds[0]);
  const ids = await grid.pushMessages([message, message]);
  expect(await grid.pushMessages([message])).toEqual(ids.slice(0, 1));
  const work = await nextWork();
  work.reply();
  await settled();
  expect(works).toEqual([]);
  expect(await grid.pullMessages(ids)).toHaveLength(1);
});

test("replies come in the order of the messages, not in that of the work", async () => {
  const { grid, nodeIds, nextWork } = createWorld();
  const replies = grid.sendAndReceive(nodeIds.map((nodeId) => to(nodeId)));
  const works = [await nextWork(), await nextWork(), await nextWork()];
  for (const work of works.reverse()) {
    work.reply();
    await settled();
  }
  expect((await replies).map(({ metadata }) => metadata.srcNodeId)).toEqual(nodeIds);
});

test("sendAndReceive returns what has come when the time is over; the rest can be pulled later", async () => {
  const { grid, nodeIds, nextWork, nextWait, clock } = createWorld();
  const replies = grid.sendAndReceive([to(nodeIds[0]), to(nodeIds[1])], { timeoutMs: 5_000 });
  const [first, second] = [await nextWork(), await nextWork()];
  first.reply();
  await settled();
  const waits = [await nextWait(), await nextWait(), await nextWait()];
  expect(waits.map(({ ms }) => Math.round(ms / 1000))).toEqual([43_200, 43_200, 5]);
  clock.ms += 5_000;
  waits[2]?.end();
  const [reply, ...others] = await replies;
  expect([reply?.metadata.srcNodeId, others]).toEqual([nodeIds[0], []]);
  second.reply();
  await settled();
  expect(await grid.pullMessages([second.message.metadata.messageId])).toMatchObject([
    { metadata: { srcNodeId: nodeIds[1] } },
  ]);
});

test.each([Number.NaN, -1])("a timeout of %d ms is refused", async (timeoutMs) => {
  const { grid, nodeIds } = createWorld();
  const message = to(nodeIds[0]);
  await expect(grid.sendAndReceive([message], { timeoutMs })).rejects.toThrow(
    `"timeoutMs" must be a number of at least 0, not ${timeoutMs}`,
  );
  const [id = ""] = await grid.pushMessages([message]);
  expect(await grid.pullMessages([id]), "the first time").toEqual([]);
});

test("without time, sendAndReceive sends all the same", async () => {
  const { grid, nodeIds, nextWork } = createWorld();
  expect(await grid.sendAndReceive([to(nodeIds[0])], { timeoutMs: 0 })).toEqual([]);
  expect((await nextWork()).message.metadata.dstNodeId).toBe(nodeIds[0]);
});

test("a message whose time is over gets an error reply at once, and its node stops working on it", async () => {
  const { grid, nodes, nodeIds, works, nextWork, nextWait, clock } = createWorld();
  const before = nodes.get(nodeIds[0])?.context;
  const late = [to(nodeIds[0], { ttlSeconds: 10 }), to(nodeIds[0], { ttlSeconds: 11 })];
  const replies = grid.sendAndReceive(late);
  const work = await nextWork();
  const [atWork, queued] = [await nextWait(), await nextWait()];
  expect(Math.round(queued.ms / 1000)).toBe(11);
  clock.ms += 12_000;
  queued.end();
  await settled();
  // The one that waits behind it is over as well, but its node is still at work.
  expect(work.signal.aborted).toBe(false);
  atWork.end();
  const errors = (await replies).map(({ error, metadata }) => [error.code, metadata.messageType]);
  expect(errors).toEqual([
    [3, "system"],
    [3, "system"],
  ]);
  expect(work.signal.aborted).toBe(true);
  await settled();
  expect(works).toEqual([]);
  expect(nodes.get(nodeIds[0])?.context).toBe(before);
  await grid.pushMessages([to(nodeIds[0])]);
  (await nextWork()).reply();
});

test("a time to live of years does not end at once", async () => {
  const { grid, nodeIds, nextWork, nextWait } = createWorld();
  await grid.pushMessages([to(nodeIds[0], { ttlSeconds: 1e300 })]);
  const work = await nextWork();
  const wait = await nextWait();
  expect(wait.ms).toBe(2 ** 31 - 1);
  wait.end();
  expect((await nextWait()).ms).toBe(2 ** 31 - 1);
  expect(work.signal.aborted).toBe(false);
});

test("a worker that fails gives a reply with code 8, and its node's context stays", async () => {
  const { grid, nodes, nodeIds, nextWork } = createWorld();
  const before = nodes.get(nodeIds[0])?.context;
  const replies = grid.sendAndReceive([to(nodeIds[0])]);
  (await nextWork()).fail(new Error("The ClientApp's thread exited with code 1."));
  const [reply] = await replies;
  expect(reply?.error).toEqual({ code: 8, reason: "The ClientApp's thread exited with code 1." });
  expect(reply?.metadata).toMatchObject({ runId, srcNodeId: nodeIds[0], dstNodeId: 1n });
  expect(reply && deflate(reply).id).toBe(reply?.metadata.messageId);
  expect(nodes.get(nodeIds[0])?.context).toBe(before);
});

test("when the run ends, so do all calls and all work", async () => {
  const { grid, nodeIds, nextWork, stopping, works } = createWorld();
  const replies = grid.sendAndReceive([to(nodeIds[0]), to(nodeIds[0])]);
  const work = await nextWork();
  stopping.abort(new Error("stopped"));
  await expect(replies).rejects.toThrow("stopped");
  expect(work.signal.aborted).toBe(true);
  await settled();
  expect(works).toEqual([]);
  await expect(grid.getNodeIds()).rejects.toThrow("stopped");
  await expect(grid.pushMessages([])).rejects.toThrow("stopped");
  await expect(grid.pullMessages([])).rejects.toThrow("stopped");
});

test("a call can be ended alone; the work goes on", async () => {
  const { grid, nodeIds, nextWork } = createWorld();
  const giveUp = new AbortController();
  const replies = grid.sendAndReceive([to(nodeIds[0])], { signal: giveUp.signal });
  const work = await nextWork();
  giveUp.abort(new Error("given up"));
  await expect(replies).rejects.toThrow("given up");
  expect(work.signal.aborted).toBe(false);
  work.reply();
  await settled();
  expect(await grid.pullMessages([work.message.metadata.messageId])).toHaveLength(1);
});

test("ids of nodes are distinct, random, and neither 0 nor the SuperLink's", () => {
  const nodes = createVirtualNodes(runId, 1_000, { lr: 0.5 });
  const contexts = Array.from(nodes.values(), ({ context }) => fromBinary(ContextSchema, context));
  expect(contexts.map(({ nodeId }) => nodeId)).toEqual(Array.from(nodes.keys()));
  expect(contexts.every(({ nodeId }) => nodeId > 1n)).toBe(true);
  expect(contexts.some(({ nodeId }) => nodeId >= 2n ** 63n)).toBe(true);
  expect(contexts.map(({ nodeConfig }) => nodeConfig["partition-id"]?.scalar)).toEqual(
    contexts.map((_, index) => ({ case: "sint64", value: BigInt(index) })),
  );
  expect(
    new Set(contexts.map(({ nodeConfig }) => nodeConfig["num-partitions"]?.scalar.value)),
  ).toEqual(new Set([1_000n]));
});
