import { Code } from "@connectrpc/connect";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { contentsOf } from "../../../src/appio/objects/deflate.ts";
import { createDrafts, type Draft } from "../state/drafts.ts";
import { createSuperLinkWorld, failureOf } from "./world.ts";

type World = Awaited<ReturnType<typeof createSuperLinkWorld>>;

const publicKey = new Uint8Array([1, 2, 3]);
const stopped = { code: Code.PermissionDenied, text: "Run is finished. Stopped by user." };

let world: World;
let drafts: ReturnType<typeof createDrafts>;

beforeEach(async () => {
  world = await createSuperLinkWorld();
  drafts = createDrafts(world.clock.now);
});
afterEach(() => world.link.close());

async function sent(world: World, runId: bigint, nodeId: bigint): Promise<Draft> {
  const draft = drafts.instruction(runId, nodeId);
  await world.state.instructions.push(runId, [draft.message], [draft.tree]);
  for (const [id, content] of contentsOf(draft.object)) {
    await world.state.objects.put(runId, id, content);
  }
  return draft;
}

describe("a node's way", () => {
  it("registers, comes online, stays, leaves and is gone", async () => {
    const { fleet } = world;
    const { nodeId } = await fleet.registerNode({ publicKey });
    expect(nodeId > 1n).toBe(true);
    expect((await fleet.activateNode({ publicKey, heartbeatInterval: 30 })).nodeId).toBe(nodeId);
    const node = { nodeId };
    expect((await fleet.sendNodeHeartbeat({ node, heartbeatInterval: 30 })).success).toBe(true);
    expect(await world.state.nodes.listOnline()).toEqual([nodeId]);
    await fleet.deactivateNode({ nodeId });
    expect(await world.state.nodes.listOnline()).toEqual([]);
    await fleet.unregisterNode({ nodeId });
    expect((await fleet.sendNodeHeartbeat({ node, heartbeatInterval: 30 })).success).toBe(false);
    expect((await fleet.sendNodeHeartbeat({ heartbeatInterval: 30 })).success).toBe(false);
  });

  it("fails with the codes that SuperNodes act on", async () => {
    const { fleet } = world;
    const precondition = { code: Code.FailedPrecondition };
    await fleet.registerNode({ publicKey });
    for (const call of [
      fleet.registerNode({ publicKey }),
      fleet.activateNode({ publicKey: new Uint8Array([9]), heartbeatInterval: 30 }),
      fleet.deactivateNode({ nodeId: 99n }),
      fleet.unregisterNode({ nodeId: 99n }),
    ]) {
      expect(await failureOf(call)).toMatchObject(precondition);
    }
    expect(await failureOf(fleet.activateNode({ publicKey, heartbeatInterval: 9 }))).toEqual({
      code: Code.InvalidArgument,
      text: "Invalid heartbeat interval",
    });
  });
});

describe("what a node is told of a run", () => {
  it("is all of it, and its bundle, while it runs", async () => {
    const { runIds } = await world.control.startRuns({
      fab: new Uint8Array([7, 7]),
      overrideConfig: { rounds: { scalar: { case: "sint64", value: 3n } } },
    });
    const runId = runIds[0] ?? 0n;
    expect(await failureOf(world.fleet.getRun({ runId }))).toEqual({
      code: Code.PermissionDenied,
      text: "Run is pending.",
    });
    await world.state.runs.claim(runId);
    await world.state.inputs.start(runId);
    const { run } = await world.fleet.getRun({ runId });
    expect(run?.overrideConfig.rounds?.scalar.value).toBe(3n);
    const hashStr = run?.fabHash ?? "";
    const { fab } = await world.fleet.getFab({ runId, hashStr });
    expect([...(fab?.content ?? [])]).toEqual([7, 7]);
    const other = await world.state.runs.find(await world.pendingRun());
    const anotherRuns = { runId, hashStr: other?.fabHash ?? "" };
    expect(await failureOf(world.fleet.getFab(anotherRuns))).toMatchObject({
      code: Code.NotFound,
    });
    await world.control.stopRun({ runId });
    expect(await failureOf(world.fleet.getRun({ runId }))).toEqual(stopped);
    expect(await failureOf(world.fleet.getFab({ runId, hashStr }))).toEqual(stopped);
    expect(await failureOf(world.fleet.getRun({ runId: 5n }))).toEqual({
      code: Code.PermissionDenied,
      text: "Run ID not found: 5",
    });
  });
});

describe("a node's messages", () => {
  it("case 40: are handed out once", async () => {
    const { runId } = await world.runningRun();
    const nodeId = await world.onlineNode();
    const instruction = await sent(world, runId, nodeId);
    const pulls = await Promise.all(
      Array.from({ length: 5 }, () => world.fleet.pullMessages({ node: { nodeId } })),
    );
    const found = pulls.flatMap(({ messagesList }) => messagesList);
    expect(found).toEqual([instruction.message]);
    expect((await world.fleet.pullMessages({})).messagesList).toEqual([]);
  });

  it("are answered once, and the refused are named None", async () => {
    const { runId } = await world.runningRun();
    const instruction = await sent(world, runId, await world.onlineNode());
    const reply = drafts.reply(instruction);
    const request = { messagesList: [reply.message], messageObjectTrees: [reply.tree] };
    const pushed = await world.fleet.pushMessages(request);
    expect(pushed.results).toEqual({ [reply.id]: 0 });
    expect(pushed.reconnect?.reconnect).toBe(5n);
    expect(pushed.objectsToPush).toContain(reply.id);
    expect(await world.fleet.pushMessages(request), "repeated").toEqual(pushed);
    world.clock.advance(1);
    const second = drafts.reply(instruction);
    const refused = await world.fleet.pushMessages({
      messagesList: [second.message],
      messageObjectTrees: [second.tree],
    });
    expect(refused).toMatchObject({ results: { None: 0 }, objectsToPush: [] });
    expect(await failureOf(world.fleet.pushMessages({}))).toMatchObject({
      code: Code.InvalidArgument,
    });
  });

  it("end with the run", async () => {
    const { runId } = await world.runningRun();
    const nodeId = await world.onlineNode();
    const instruction = await sent(world, runId, nodeId);
    const reply = drafts.reply(instruction);
    await world.control.stopRun({ runId });
    expect((await world.fleet.pullMessages({ node: { nodeId } })).messagesList).toEqual([]);
    const objectId = instruction.id;
    for (const call of [
      world.fleet.pushMessages({ messagesList: [reply.message], messageObjectTrees: [reply.tree] }),
      world.fleet.pushObject({ runId, objectId }),
      world.fleet.pullObject({ runId, objectId }),
      world.fleet.confirmMessageReceived({ runId, messageObjectId: objectId }),
    ]) {
      expect(await failureOf(call)).toEqual(stopped);
    }
  });

  it("a confirmation frees the objects and leaves the instruction to be answered", async () => {
    const { runId, app } = await world.runningRun();
    const nodeId = await world.onlineNode();
    const instruction = await sent(world, runId, nodeId);
    await world.fleet.pullMessages({ node: { nodeId } });
    await world.fleet.confirmMessageReceived({ runId, messageObjectId: instruction.id });
    const found = await world.fleet.pullObject({ runId, objectId: instruction.id });
    expect(found.objectFound).toBe(false);
    expect((await app.pullMessages({ messageIds: [instruction.id] })).messagesList).toEqual([]);
    const reply = drafts.reply(instruction);
    const pushed = await world.fleet.pushMessages({
      messagesList: [reply.message],
      messageObjectTrees: [reply.tree],
    });
    expect(pushed.results).toEqual({ [reply.id]: 0 });
  });

  it("an object that is announced and not yet pushed is found and not available", async () => {
    const { runId } = await world.runningRun();
    const draft = drafts.instruction(runId, await world.onlineNode());
    await world.state.instructions.push(runId, [draft.message], [draft.tree]);
    expect(await world.fleet.pullObject({ runId, objectId: draft.id })).toMatchObject({
      objectFound: true,
      objectAvailable: false,
    });
  });
});
