import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { clone } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { MessageSchema } from "../../../gen/flwr/proto/message_pb.ts";
import { contentsOf } from "../../../src/appio/objects/deflate.ts";
import { newKey, pemOf } from "../credentials/keys.ts";
import { createDrafts, type Draft, type DraftOptions } from "../state/drafts.ts";
import { createSuperLinkWorld, failureOf } from "./world.ts";

type World = Awaited<ReturnType<typeof createSuperLinkWorld>>;

const refused = { code: Code.Unauthenticated, text: "Authentication failed." };
const stopped = { code: Code.PermissionDenied, text: "Run is finished. Stopped by user." };

let world: World;
let drafts: ReturnType<typeof createDrafts>;

beforeEach(async () => {
  world = await createSuperLinkWorld();
  drafts = createDrafts(world.clock.now);
});
afterEach(() => world.link.close());

async function sent(
  world: World,
  runId: bigint,
  nodeId: bigint,
  options?: DraftOptions,
): Promise<Draft> {
  const draft = drafts.instruction(runId, nodeId, options);
  await world.state.instructions.push(runId, [draft.message], [draft.tree]);
  for (const [id, content] of contentsOf(draft.object)) {
    await world.state.objects.put(runId, id, content);
  }
  return draft;
}

describe("a node's way", () => {
  it("registers, comes online, stays, leaves and is gone", async () => {
    const fleet = world.fleet(newKey());
    const { nodeId } = await fleet.registerNode({});
    expect(nodeId > 1n).toBe(true);
    expect((await fleet.activateNode({ heartbeatInterval: 30 })).nodeId).toBe(nodeId);
    const node = { nodeId };
    expect((await fleet.sendNodeHeartbeat({ node, heartbeatInterval: 30 })).success).toBe(true);
    expect(await world.state.nodes.listOnline()).toEqual([nodeId]);
    await fleet.deactivateNode({ nodeId });
    expect(await world.state.nodes.listOnline()).toEqual([]);
    await fleet.unregisterNode({ nodeId });
    expect(await failureOf(fleet.sendNodeHeartbeat({ node, heartbeatInterval: 30 }))).toEqual(
      refused,
    );
  });

  it("begins again where answers were lost, for the holder of the key alone", async () => {
    const key = newKey();
    const fleet = world.fleet(key);
    const { nodeId } = await fleet.registerNode({});
    expect((await fleet.registerNode({})).nodeId).toBe(nodeId);
    const other = world.fleet(newKey());
    const publicKey = Buffer.from(pemOf(key));
    for (const call of [
      () => other.registerNode({ publicKey }),
      () => other.activateNode({ publicKey, heartbeatInterval: 30 }),
    ]) {
      expect(await failureOf(call())).toMatchObject({ code: Code.PermissionDenied });
    }
    for (let call = 0; call < 2; call += 1) {
      expect((await fleet.activateNode({ heartbeatInterval: 30 })).nodeId).toBe(nodeId);
    }
    expect(await world.state.nodes.listOnline()).toEqual([nodeId]);
  });

  it("fails with the codes that SuperNodes act on", async () => {
    const fleet = world.fleet(newKey());
    const tooLong = fleet.activateNode({ publicKey: new Uint8Array(5 * 1024 * 1024) });
    expect(await failureOf(tooLong)).toMatchObject({ code: Code.InvalidArgument });
    const precondition = { code: Code.FailedPrecondition };
    const unknown = fleet.activateNode({ heartbeatInterval: 30 });
    expect(await failureOf(unknown)).toMatchObject(precondition);
    const { nodeId } = await fleet.registerNode({});
    expect(await failureOf(fleet.deactivateNode({ nodeId }))).toMatchObject(precondition);
    await fleet.activateNode({ heartbeatInterval: 30 });
    await fleet.sendNodeHeartbeat({ heartbeatInterval: 30 });
    for (const call of [
      () => fleet.registerNode({}),
      () => fleet.activateNode({ heartbeatInterval: 30 }),
    ]) {
      expect(await failureOf(call())).toMatchObject(precondition);
    }
    expect(await failureOf(fleet.activateNode({ heartbeatInterval: 9 }))).toEqual({
      code: Code.InvalidArgument,
      text: "Invalid heartbeat interval",
    });
  });

  it("is the operator's where the operator registers the nodes", async () => {
    const [known, stranger] = [newKey(), newKey()];
    const options = { superNodeKeys: [pemOf(known)] };
    await using closed = await createSuperLinkWorld(options);
    const fleet = closed.fleet(known);
    const theirs = { code: Code.FailedPrecondition, text: expect.stringContaining("operator") };
    expect(await failureOf(fleet.registerNode({}))).toEqual(theirs);
    const { nodeId } = await fleet.activateNode({ heartbeatInterval: 30 });
    expect(await closed.state.nodes.listOnline()).toEqual([nodeId]);
    expect(await failureOf(fleet.unregisterNode({ nodeId }))).toEqual(theirs);
    for (const call of [
      () => closed.fleet(stranger).registerNode({}),
      () => closed.fleet(stranger).activateNode({ heartbeatInterval: 30 }),
    ]) {
      expect(await failureOf(call())).toEqual(refused);
    }
  });

  it("refuses keys that are not the operator's any more, registered though they are", async () => {
    const directory = await mkdtemp(join(tmpdir(), "countersign-test-"));
    const databasePath = join(directory, "state.db");
    const [kept, dropped] = [newKey(), newKey()];
    const registered = { databasePath, superNodeKeys: [pemOf(kept), pemOf(dropped)] };
    {
      await using before = await createSuperLinkWorld(registered);
      await before.fleet(dropped).activateNode({ heartbeatInterval: 30 });
    }
    {
      await using after = await createSuperLinkWorld({
        databasePath,
        superNodeKeys: [pemOf(kept)],
      });
      expect(await failureOf(after.fleet(dropped).pullMessages({}))).toEqual(refused);
      expect((await after.fleet(kept).pullMessages({})).messagesList).toEqual([]);
    }
    await rm(directory, { recursive: true });
  });
});

describe("what a node is told of a run", () => {
  it("is all of it, and its bundle, while it runs", async () => {
    const { runIds } = await world.control.startRuns({
      fab: new Uint8Array([7, 7]),
      overrideConfig: { rounds: { scalar: { case: "sint64", value: 3n } } },
    });
    const runId = runIds[0] ?? 0n;
    const { nodeId, fleet } = await world.onlineNode();
    expect(await failureOf(fleet.getRun({ runId }))).toEqual({
      code: Code.PermissionDenied,
      text: "Run is pending.",
    });
    await world.state.runs.claim(runId);
    await world.state.inputs.start(runId);
    await sent(world, runId, nodeId);
    await fleet.pullMessages({});
    const { run } = await fleet.getRun({ runId });
    expect(run?.overrideConfig.rounds?.scalar.value).toBe(3n);
    const hashStr = run?.fabHash ?? "";
    const { fab } = await fleet.getFab({ runId, hashStr });
    expect([...(fab?.content ?? [])]).toEqual([7, 7]);
    const other = await world.state.runs.find(await world.pendingRun());
    const anotherRuns = { runId, hashStr: other?.fabHash ?? "" };
    expect(await failureOf(fleet.getFab(anotherRuns))).toMatchObject({
      code: Code.NotFound,
    });
    await world.control.stopRun({ runId });
    expect(await failureOf(fleet.getRun({ runId }))).toEqual(stopped);
    expect(await failureOf(fleet.getFab({ runId, hashStr }))).toEqual(stopped);
    expect(await failureOf(fleet.getRun({ runId: 5n }))).toEqual({
      code: Code.PermissionDenied,
      text: "Run ID not found: 5",
    });
  });
});

describe("a node's messages", () => {
  it("case 40: are handed out once", async () => {
    const { runId } = await world.runningRun();
    const { nodeId, fleet } = await world.onlineNode();
    const instruction = await sent(world, runId, nodeId);
    const pulls = await Promise.all(
      Array.from({ length: 5 }, () => fleet.pullMessages({ node: { nodeId } })),
    );
    const found = pulls.flatMap(({ messagesList }) => messagesList);
    expect(found).toEqual([instruction.message]);
    expect((await fleet.pullMessages({})).messagesList).toEqual([]);
  });

  it("are answered once, and the refused are named None", async () => {
    const { runId } = await world.runningRun();
    const { nodeId, fleet } = await world.onlineNode();
    const instruction = await sent(world, runId, nodeId);
    const reply = drafts.reply(instruction);
    const request = { messagesList: [reply.message], messageObjectTrees: [reply.tree] };
    const pushed = await fleet.pushMessages(request);
    expect(pushed.results).toEqual({ [reply.id]: 0 });
    expect(pushed.reconnect?.reconnect).toBe(5n);
    expect(pushed.objectsToPush).toContain(reply.id);
    expect(await fleet.pushMessages(request), "repeated").toEqual(pushed);
    world.clock.advance(1);
    const second = drafts.reply(instruction);
    const refused = await fleet.pushMessages({
      messagesList: [second.message],
      messageObjectTrees: [second.tree],
    });
    expect(refused).toMatchObject({ results: { None: 0 }, objectsToPush: [] });
    expect(await failureOf(fleet.pushMessages({}))).toMatchObject({
      code: Code.InvalidArgument,
    });
  });

  it("end with the run", async () => {
    const { runId } = await world.runningRun();
    const { nodeId, fleet } = await world.onlineNode();
    const instruction = await sent(world, runId, nodeId);
    const reply = drafts.reply(instruction);
    await world.control.stopRun({ runId });
    expect((await fleet.pullMessages({ node: { nodeId } })).messagesList).toEqual([]);
    const objectId = instruction.id;
    for (const call of [
      () => fleet.pushMessages({ messagesList: [reply.message], messageObjectTrees: [reply.tree] }),
      () => fleet.pushObject({ runId, objectId }),
      () => fleet.pullObject({ runId, objectId }),
      () => fleet.confirmMessageReceived({ runId, messageObjectId: objectId }),
    ]) {
      expect(await failureOf(call())).toEqual(stopped);
    }
  });

  it("a confirmation frees the objects and leaves the instruction to be answered", async () => {
    const { runId, app } = await world.runningRun();
    const { nodeId, fleet } = await world.onlineNode();
    const instruction = await sent(world, runId, nodeId);
    await fleet.pullMessages({ node: { nodeId } });
    await fleet.confirmMessageReceived({ runId, messageObjectId: instruction.id });
    const found = await fleet.pullObject({ runId, objectId: instruction.id });
    expect(found.objectFound).toBe(false);
    expect((await app.pullMessages({ messageIds: [instruction.id] })).messagesList).toEqual([]);
    const reply = drafts.reply(instruction);
    const pushed = await fleet.pushMessages({
      messagesList: [reply.message],
      messageObjectTrees: [reply.tree],
    });
    expect(pushed.results).toEqual({ [reply.id]: 0 });
  });

  it("an object that is announced and not yet pushed is found and not available", async () => {
    const { runId } = await world.runningRun();
    const { nodeId, fleet } = await world.onlineNode();
    const draft = drafts.instruction(runId, nodeId);
    await world.state.instructions.push(runId, [draft.message], [draft.tree]);
    await fleet.pullMessages({});
    expect(await fleet.pullObject({ runId, objectId: draft.id })).toMatchObject({
      objectFound: true,
      objectAvailable: false,
    });
  });
});

describe("a run of which a node holds no message", () => {
  const unknown = (runId: bigint) => ({
    code: Code.PermissionDenied,
    text: `Run ID not found: ${runId}`,
  });

  /** Every call of a node about a run and an object of it. */
  function callsOf(fleet: ReturnType<World["fleet"]>, runId: bigint, objectId: string) {
    return {
      getRun: () => fleet.getRun({ runId }),
      getFab: () => fleet.getFab({ runId, hashStr: "0".repeat(64) }),
      pushObject: () => fleet.pushObject({ runId, objectId }),
      pullObject: () => fleet.pullObject({ runId, objectId }),
      confirm: () => fleet.confirmMessageReceived({ runId, messageObjectId: objectId }),
    };
  }

  it("is to it as one that does not exist, whatever ids it knows", async () => {
    const { runId } = await world.runningRun();
    const { nodeId, fleet } = await world.onlineNode();
    const draft = await sent(world, runId, nodeId);
    await fleet.pullMessages({});
    const { fleet: stranger } = await world.onlineNode();
    for (const call of Object.values(callsOf(stranger, runId, draft.id))) {
      expect(await failureOf(call())).toEqual(unknown(runId));
    }
    expect(await fleet.pullObject({ runId, objectId: draft.id })).toMatchObject({
      objectFound: true,
    });
  });

  it("is so again when its message has expired, but for the objects of a reply that came in time", async () => {
    const { runId, app } = await world.runningRun();
    const [silent, answering] = [await world.onlineNode(), await world.onlineNode()];
    const unanswered = await sent(world, runId, silent.nodeId, { ttlSeconds: 10 });
    const answered = await sent(world, runId, answering.nodeId, { ttlSeconds: 10 });
    await silent.fleet.pullMessages({});
    await answering.fleet.pullMessages({});
    const reply = drafts.reply(answered);
    const { objectsToPush } = await answering.fleet.pushMessages({
      messagesList: [reply.message],
      messageObjectTrees: [reply.tree],
    });
    world.clock.advance(10);
    for (const call of Object.values(callsOf(silent.fleet, runId, unanswered.id))) {
      expect(await failureOf(call())).toEqual(unknown(runId));
    }
    const { pushObject: _, ...reading } = callsOf(answering.fleet, runId, answered.id);
    for (const call of Object.values(reading)) {
      expect(await failureOf(call())).toEqual(unknown(runId));
    }
    const contents = new Map(contentsOf(reply.object));
    for (const objectId of objectsToPush) {
      const objectContent = contents.get(objectId) ?? new Uint8Array();
      expect((await answering.fleet.pushObject({ runId, objectId, objectContent })).stored).toBe(
        true,
      );
    }
    const { messagesList } = await app.pullMessages({ messageIds: [answered.id] });
    expect(messagesList).toEqual([reply.message]);
    const pulled = await app.pullObject({ node: { nodeId: 1n }, objectId: reply.id });
    expect(pulled.objectAvailable).toBe(true);
  });
});

describe("the messages of a run's other nodes, and their replies", () => {
  it("are not for a node to confirm, whatever ids it knows", async () => {
    const { runId, app } = await world.runningRun();
    const [owner, thief] = [await world.onlineNode(), await world.onlineNode()];
    const instruction = await sent(world, runId, owner.nodeId);
    await sent(world, runId, thief.nodeId);
    for (const { fleet } of [owner, thief]) {
      await fleet.pullMessages({});
    }
    const reply = drafts.reply(instruction);
    const request = { messagesList: [reply.message], messageObjectTrees: [reply.tree] };
    const { objectsToPush } = await owner.fleet.pushMessages(request);
    const contents = new Map(contentsOf(reply.object));
    for (const objectId of objectsToPush) {
      const objectContent = contents.get(objectId) ?? new Uint8Array();
      await owner.fleet.pushObject({ runId, objectId, objectContent });
    }
    for (const messageObjectId of [instruction.id, reply.id]) {
      await thief.fleet.confirmMessageReceived({ runId, messageObjectId });
    }
    const found = await owner.fleet.pullObject({ runId, objectId: instruction.id });
    expect(found.objectAvailable).toBe(true);
    const { messagesList } = await app.pullMessages({ messageIds: [instruction.id] });
    expect(messagesList).toEqual([reply.message]);
    await app.confirmMessageReceived({ runId, messageObjectId: reply.id });
    expect((await app.pullObject({ node: { nodeId: 1n }, objectId: reply.id })).objectFound).toBe(
      false,
    );
  });
});

describe("a reply whose object names another sender than its announcement", () => {
  it("is not taken", async () => {
    const { runId } = await world.runningRun();
    const { nodeId, fleet } = await world.onlineNode();
    const { nodeId: victim } = await world.onlineNode();
    const instruction = await sent(world, runId, nodeId);
    await fleet.pullMessages({});
    // The object says that the victim answers; the announcement is honest.
    const asked = clone(MessageSchema, instruction.message);
    Object.assign(asked.metadata ?? {}, { dstNodeId: victim });
    const forged = drafts.reply({ ...instruction, message: asked });
    expect(forged.message.metadata?.srcNodeId).toBe(victim);
    const message = clone(MessageSchema, forged.message);
    Object.assign(message.metadata ?? {}, { srcNodeId: nodeId });
    const { results } = await fleet.pushMessages({
      messagesList: [message],
      messageObjectTrees: [forged.tree],
    });
    expect(Object.keys(results)).toEqual([forged.id]);
    const contents = new Map(contentsOf(forged.object));
    const objectContent = contents.get(forged.id) ?? new Uint8Array();
    expect(
      await failureOf(fleet.pushObject({ runId, objectId: forged.id, objectContent })),
    ).toEqual({
      code: Code.PermissionDenied,
      text: "The message names another sender.",
    });
  });
});
