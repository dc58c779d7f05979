import { createHash } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { FabSchema } from "../../../gen/flwr/proto/fab_pb.ts";
import { type NodeCaller, NodeRefusal } from "../../../src/appio/supernode/node-caller.ts";
import { refusal } from "../../../src/policy/verifier.ts";
import { instruction, replyTo, testNode } from "./test-node.ts";

/** A bundle of this many bytes, all the same. */
function bundleOf(size: number, byte: number) {
  const content = new Uint8Array(size).fill(byte);
  return { content, hashStr: createHash("sha256").update(content).digest("hex") };
}

describe("a run without work", () => {
  it("is asked about after a minute, and then when it has had none for twice as long, at least twice an hour", async () => {
    await using node = await testNode();
    await node.settle(await node.deliver(1n));
    const pauses: number[] = [];
    for (let asked = 0; asked < 8; asked += 1) {
      let seconds = 0;
      for (; (await node.runs.nextToAsk()) === undefined; seconds += 10) {
        node.pass(10_000);
      }
      pauses.push(seconds);
      expect(await node.runs.nextToAsk(), "until it is noted").toBe(1n);
      await node.runs.keep(1n);
    }
    expect(pauses).toEqual([60, 60, 120, 240, 480, 960, 1800, 1800]);
    await node.settle(await node.deliver(1n));
    node.pass(59_999);
    expect(await node.runs.nextToAsk(), "from its latest work").toBeUndefined();
    node.pass(1);
    expect(await node.runs.nextToAsk()).toBe(1n);
  });

  it("is asked about in its turn: the one first that is due the longest", async () => {
    await using node = await testNode();
    for (const runId of [1n, 2n, 3n]) {
      await node.settle(await node.deliver(runId));
      node.pass(1_000);
    }
    node.pass(60_000);
    const order: (bigint | undefined)[] = [];
    for (let asked = 0; asked < 4; asked += 1) {
      const runId = await node.runs.nextToAsk();
      order.push(runId);
      await node.runs.keep(runId ?? 0n);
    }
    expect(order).toEqual([1n, 2n, 3n, undefined]);
  });

  it("is one with no message here, from its arrival until its reply is forwarded", async () => {
    await using node = await testNode();
    const asked = instruction(1n);
    await node.addRun(1n);
    const live: NodeCaller[] = [];
    /** Lets a minute pass in which the ClientApp's heart beats, and looks whether the run may be forgotten. */
    const expectWork = async () => {
      for (let beats = 0; beats < 3; beats += 1) {
        node.pass(21_000);
        for (const { tokenDigest } of live) {
          expect(await node.authority.extend(tokenDigest)).toBe(true);
        }
      }
      const before = await node.counts();
      expect(await node.runs.nextToAsk()).toBeUndefined();
      expect(await node.runs.forget(1n)).toBe(false);
      expect(await node.counts()).toEqual(before);
    };

    const missing = (await node.inbox.receive(asked)) ?? [];
    await expectWork();
    for (const id of missing) {
      await node.inbox.storeObject(1n, id, asked.objects.get(id) ?? new Uint8Array());
    }
    await node.inbox.arrived(asked.id);
    await expectWork();
    const { caller, token } = await node.claim(1n);
    live.push(caller);
    await expectWork();
    await node.apps.takeMessage(caller);
    await expectWork();
    const reply = replyTo(asked);
    const awaited = await node.apps.storeReply(caller, reply);
    await expectWork();
    for (const id of awaited) {
      await node.apps.putObject(caller, id, reply.objects.get(id) ?? new Uint8Array());
    }
    await expectWork();

    // The SuperLink has the reply; the ClientApp has not left yet.
    await node.inbox.forwarded(asked.id);
    node.pass(59_000);
    expect(await node.runs.nextToAsk()).toBeUndefined();
    node.pass(1_000);
    expect(await node.runs.nextToAsk()).toBe(1n);
    expect(await node.runs.forget(1n)).toBe(true);
    expect(await node.authority.verify(token)).toEqual(refusal("revoked"));
    await expect(node.apps.getObject(caller, reply.id)).rejects.toMatchObject({
      kind: "token ended",
    });
    await expect(node.apps.finish(caller, node.emptyContext)).rejects.toBeInstanceOf(NodeRefusal);
  });

  it("leaves nothing behind when it is forgotten, and takes nothing from another", async () => {
    await using node = await testNode();
    const empty = await node.counts();
    const other = await node.deliver(2n);
    const before = await node.counts();
    const asked = await node.deliver(1n);
    const { caller } = await node.claim(1n);
    await node.apps.takeMessage(caller);
    // An object of the other run, which so becomes one of both.
    const reply = replyTo(asked);
    reply.tree.children.push(other.tree);
    for (const id of await node.apps.storeReply(caller, reply)) {
      const content = reply.objects.get(id) ?? other.objects.get(id) ?? new Uint8Array();
      expect(await node.apps.putObject(caller, id, content)).toBe(true);
    }
    await node.inbox.forwarded(asked.id);
    const { node_fab: bundles } = await node.counts();
    expect(bundles, "both runs have the same bundle").toBe(before.node_fab);

    expect(await node.runs.forget(1n)).toBe(true);
    expect(await node.counts()).toEqual(before);
    expect(await node.runs.forget(1n)).toBe(false);
    expect(await node.runs.find(1n)).toBeUndefined();
    expect(await node.apps.findRun(2n)).toMatchObject({ fab: {}, context: {} });
    const { caller: others } = await node.claim(2n);
    expect((await node.apps.getObject(others, other.id))?.content).toBeDefined();

    await node.apps.takeMessage(others);
    await node.answer(others, replyTo(other));
    await node.apps.finish(others, node.emptyContext);
    await node.inbox.forwarded(other.id);
    expect(await node.runs.forget(2n)).toBe(true);
    expect(await node.counts()).toEqual(empty);
  });
});

describe("bundles", () => {
  const [first, second, third] = [bundleOf(400, 1), bundleOf(400, 2), bundleOf(400, 3)];
  const kept = async (node: Awaited<ReturnType<typeof testNode>>) => {
    const runIds: bigint[] = [];
    for (const runId of [1n, 2n, 3n]) {
      if ((await node.runs.find(runId))?.hasBundle) {
        runIds.push(runId);
      }
    }
    return runIds;
  };

  it("of runs without work are dropped when there are too many, the least recently used first", async () => {
    await using node = await testNode({ maxBundleBytes: 1_000 });
    for (const [runId, fab] of [
      [1n, first],
      [2n, second],
      [1n, first],
    ] as const) {
      await node.settle(await node.deliver(runId, fab));
      node.pass(1_000);
    }
    expect(await kept(node)).toEqual([1n, 2n]);
    await node.addRun(3n, third);
    expect(await kept(node)).toEqual([1n, 3n]);
    expect(await node.apps.findRun(2n)).toMatchObject({ run: {}, context: {}, fab: undefined });

    await node.runs.addBundle(create(FabSchema, second));
    expect(await kept(node)).toEqual([2n, 3n]);
    expect((await node.apps.findRun(2n))?.fab?.content).toEqual(second.content);
  });

  it("of runs with work stay, however many there are", async () => {
    await using node = await testNode({ maxBundleBytes: 0 });
    const asked = await node.deliver(1n, first);
    await node.deliver(2n, second);
    await node.deliver(3n, first);
    expect(await kept(node)).toEqual([1n, 2n, 3n]);
    await node.settle(asked);
    await node.runs.addBundle(create(FabSchema, second));
    expect(await kept(node), "the third run has work, and the first run's bundle").toEqual([
      1n,
      2n,
      3n,
    ]);
  });
});
