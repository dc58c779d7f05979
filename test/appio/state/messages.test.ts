import { Code } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { inflateMessage } from "../../../src/appio/objects/inflate.ts";
import { pieceBytes } from "../../../src/appio/state/large-bytes.ts";
import { type Draft, settings } from "./drafts.ts";
import { createWorld } from "./world.ts";

type World = Awaited<ReturnType<typeof createWorld>>;

async function runWithNode(world: World) {
  return { ...(await world.runningRun()), node: await world.onlineNode() };
}

/** The answer to one instruction, as code of its error, id of the reply, or undefined. */
async function answer(world: World, runId: bigint, instructionId: string) {
  const [found] = await world.state.replies.find(runId, [instructionId]);
  return found?.message.error === undefined
    ? found?.message.metadata?.messageId
    : Number(found.message.error.code);
}

describe("pushing instructions", () => {
  it("stores them and asks for the objects that are missing, each once", async () => {
    await using world = await createWorld();
    const { runId, node } = await runWithNode(world);
    const drafts = [world.instruction(runId, node), world.instruction(runId, node)];
    const pushed = await world.state.instructions.push(
      runId,
      drafts.map(({ message }) => message),
      drafts.map(({ tree }) => tree),
    );
    expect(pushed.messageIds).toEqual(drafts.map(({ id }) => id));
    // Two messages that share a RecordDict and a ConfigRecord.
    expect(pushed.objectsToPush).toHaveLength(4);
    expect(new Set(pushed.objectsToPush).size).toBe(4);
  });

  it("can be repeated, and delivers once all the same", async () => {
    await using world = await createWorld();
    const { runId, node } = await runWithNode(world);
    const { message, tree, id } = await world.send(runId, node);
    const again = await world.state.instructions.push(runId, [message], [tree]);
    expect(again).toEqual({ messageIds: [id], objectsToPush: [] });
    expect(await world.state.instructions.take(node)).toBeDefined();
    expect(await world.state.instructions.take(node)).toBeUndefined();
  });

  it("refuses another message under a known id", async () => {
    await using world = await createWorld();
    const { runId, node } = await runWithNode(world);
    const { message, tree } = await world.send(runId, node);
    const other = { ...message, metadata: { ...metadata(message), groupId: "other" } };
    await expect(world.state.instructions.push(runId, [other], [tree])).rejects.toMatchObject({
      code: Code.InvalidArgument,
    });
  });

  it("case 39: leaves out messages to nodes that never were online, or have unregistered", async () => {
    await using world = await createWorld();
    const { runId, node } = await runWithNode(world);
    const registered = await world.state.nodes.register(new Uint8Array([1]));
    const gone = await world.onlineNode();
    await world.state.nodes.unregister(gone);
    const offline = await world.onlineNode();
    await world.state.nodes.deactivate(offline);
    const drafts = [77n, registered, gone, offline, node].map((dst) =>
      world.instruction(runId, dst),
    );
    const pushed = await world.state.instructions.push(
      runId,
      drafts.map(({ message }) => message),
      drafts.map(({ tree }) => tree),
    );
    expect(pushed.messageIds).toEqual(["", "", "", drafts[3]?.id, drafts[4]?.id]);
    expect(pushed.objectsToPush).not.toContain(drafts[0]?.id);
  });

  it("stores all or nothing", async () => {
    await using world = await createWorld();
    const { runId, node } = await runWithNode(world);
    const good = world.instruction(runId, node);
    const bad = world.instruction(runId, 1n);
    await expect(
      world.state.instructions.push(runId, [good.message, bad.message], [good.tree, bad.tree]),
    ).rejects.toMatchObject({ code: Code.InvalidArgument });
    expect(await world.state.instructions.take(node)).toBeUndefined();
    expect(await world.state.objects.get(runId, good.id)).toBeUndefined();
  });

  it.each<[string, (draft: Draft) => Partial<Pick<Draft, "message" | "tree">>]>([
    ["no metadata", ({ message: { metadata: _, ...rest } }) => ({ message: rest })],
    ["neither content nor error", ({ message: { content: _, ...rest } }) => ({ message: rest })],
    [
      "content and error",
      ({ message }) => ({
        message: { ...message, error: { $typeName: "flwr.proto.Error", code: 1n, reason: "" } },
      }),
    ],
    [
      "an unknown message type",
      ({ message }) => ({ message: changed(message, { messageType: "test" }) }),
    ],
    [
      "a message type of three parts",
      ({ message }) => ({ message: changed(message, { messageType: "train.a.b" }) }),
    ],
    [
      "a message type whose name is no identifier",
      ({ message }) => ({ message: changed(message, { messageType: "train.2nd" }) }),
    ],
    ["no message id", ({ message }) => ({ message: changed(message, { messageId: "" }) })],
    [
      "a creation before 2025-02-28",
      ({ message }) => ({ message: changed(message, { createdAt: 1_740_700_799, ttl: 1e9 }) }),
    ],
    ["a ttl of 0", ({ message }) => ({ message: changed(message, { ttl: 0 }) })],
    [
      "a ttl that is no number",
      ({ message }) => ({ message: changed(message, { ttl: Number.NaN }) }),
    ],
    [
      "an expired message",
      ({ message }) => ({
        message: changed(message, { ttl: 10, createdAt: metadata(message).createdAt - 10 }),
      }),
    ],
    [
      "another source than the SuperLink",
      ({ message }) => ({ message: changed(message, { srcNodeId: 5n }) }),
    ],
    [
      "the SuperLink as destination",
      ({ message }) => ({ message: changed(message, { dstNodeId: 1n }) }),
    ],
    ["no destination", ({ message }) => ({ message: changed(message, { dstNodeId: 0n }) })],
    ["a reply", ({ message }) => ({ message: changed(message, { replyToMessageId: "x" }) })],
    ["a message of another run", ({ message }) => ({ message: changed(message, { runId: 5n }) })],
    [
      "case 52: a malformed object id",
      ({ tree }) => ({
        tree: { ...tree, children: [{ ...tree, objectId: "invalid", children: [] }] },
      }),
    ],
    ["a tree of another message", ({ tree }) => ({ tree: { ...tree, objectId: "a".repeat(64) } })],
  ])("refuses %s", async (_, change) => {
    await using world = await createWorld();
    const { runId, node } = await runWithNode(world);
    const draft = world.instruction(runId, node);
    const { message, tree } = { ...draft, ...change(draft) };
    await expect(world.state.instructions.push(runId, [message], [tree])).rejects.toMatchObject({
      code: Code.InvalidArgument,
      rawMessage: expect.stringMatching(/^Malformed PushMessages: ./),
    });
  });

  it.each(["train", "evaluate.after_round", "query._1", "system", "train.größe", "reconnect"])(
    "accepts the message type %s",
    async (messageType) => {
      await using world = await createWorld();
      const { runId, node } = await runWithNode(world);
      await world.send(runId, node, { messageType });
    },
  );

  it("refuses an empty list and lists of different lengths", async () => {
    await using world = await createWorld();
    const { runId, node } = await runWithNode(world);
    const { message, tree } = world.instruction(runId, node);
    for (const [messages, trees] of [
      [[], []],
      [[message], []],
      [[message], [tree, tree]],
    ] as const) {
      await expect(world.state.instructions.push(runId, messages, trees)).rejects.toMatchObject({
        code: Code.InvalidArgument,
      });
    }
  });
});

describe("taking instructions", () => {
  it("case 40: hands each out once, oldest first, to its own node", async () => {
    await using world = await createWorld();
    const { runId, node } = await runWithNode(world);
    const other = await world.onlineNode();
    const first = await world.send(runId, node);
    const second = await world.send(runId, node);
    expect(await world.state.instructions.take(other)).toBeUndefined();
    expect((await world.state.instructions.take(node))?.tree).toEqual(first.tree);
    expect((await world.state.instructions.take(node))?.message).toEqual(second.message);
    expect(await world.state.instructions.take(node)).toBeUndefined();
  });

  it("case 68: of many takes at once each gets another one", async () => {
    await using world = await createWorld();
    const { runId, node } = await runWithNode(world);
    const sent = [await world.send(runId, node), await world.send(runId, node)];
    const taken = await Promise.all(
      Array.from({ length: 20 }, () => world.state.instructions.take(node)),
    );
    const ids = taken.flatMap((found) => found?.tree.objectId ?? []);
    expect(ids.toSorted()).toEqual(sent.map(({ id }) => id).toSorted());
  });

  it("hands one out again, to the same node, when the first answer was lost", async () => {
    await using world = await createWorld();
    const { runId, node } = await runWithNode(world);
    const other = await world.onlineNode();
    const { id, tree } = await world.send(runId, node);
    expect((await world.state.instructions.take(node))?.tree).toEqual(tree);
    world.clock.advance(9.999);
    expect(await world.state.instructions.take(node)).toBeUndefined();
    world.clock.advance(0.001);
    expect(await world.state.instructions.take(other)).toBeUndefined();
    const again = await Promise.all([1, 2, 3].map(() => world.state.instructions.take(node)));
    expect(
      again.flatMap((found) => found?.tree ?? []),
      "once",
    ).toEqual([tree]);
    world.clock.advance(10);
    await world.state.objects.release(runId, id);
    expect(await world.state.instructions.take(node), "confirmed").toBeUndefined();
    expect(await answer(world, runId, id), "still waits for its reply").toBeUndefined();
  });

  it("hands out nothing again that has been answered", async () => {
    await using world = await createWorld();
    const { runId, node } = await runWithNode(world);
    const instruction = await world.send(runId, node);
    await world.state.instructions.take(node);
    const reply = await world.answer(runId, instruction);
    world.clock.advance(11);
    expect(await world.state.instructions.take(node)).toBeUndefined();
    expect(await answer(world, runId, instruction.id)).toBe(reply.id);
  });

  it("case 38: hands out nothing that has expired, nor anything of a run that has ended", async () => {
    await using world = await createWorld();
    const { runId, node } = await runWithNode(world);
    await world.send(runId, node, { ttlSeconds: 10 });
    world.clock.advance(10);
    expect(await world.state.instructions.take(node)).toBeUndefined();
    await world.send(runId, node);
    world.clock.advance(21);
    expect(await world.state.instructions.take(node), "the run's token expired").toBeUndefined();
  });

  it("drops an instruction whose objects the app has given up", async () => {
    await using world = await createWorld();
    const { runId, node } = await runWithNode(world);
    const { id } = await world.send(runId, node);
    await world.state.replies.confirm(runId, id);
    expect(await world.state.instructions.take(node)).toBeUndefined();
    expect(await answer(world, runId, id)).toBe(3);
  });
});

describe("a node's leave to reach a run", () => {
  const leaveOf = async ({ state: { instructions } }: World, node: bigint, runId: bigint) => ({
    holds: await instructions.holds(node, runId),
    mayPush: await instructions.mayPush(node, runId),
  });
  const all = { holds: true, mayPush: true };
  const pushing = { holds: false, mayPush: true };
  const none = { holds: false, mayPush: false };

  it("begins when it takes a message of the run, and ends when that expires", async () => {
    await using world = await createWorld();
    const { runId, node } = await runWithNode(world);
    const other = await world.onlineNode();
    const { runId: otherRun } = await world.runningRun();
    const { id } = await world.send(runId, node, { ttlSeconds: 10 });
    expect(await leaveOf(world, node, runId)).toEqual(none);
    await world.state.instructions.take(node);
    world.clock.advance(9.999);
    expect(await leaveOf(world, node, runId)).toEqual(all);
    expect(await leaveOf(world, other, runId)).toEqual(none);
    expect(await leaveOf(world, node, otherRun)).toEqual(none);
    world.clock.advance(0.001);
    expect(await leaveOf(world, node, runId)).toEqual(none);
    await world.state.instructions.confirm(node, runId, id);
    expect(await world.state.objects.get(runId, id), "frees the objects").toBeUndefined();
  });

  it("lets the objects of its reply come when its message has expired", async () => {
    await using world = await createWorld();
    const { runId, node } = await runWithNode(world);
    const instruction = await world.send(runId, node, { ttlSeconds: 10 });
    await world.state.instructions.take(node);
    const reply = world.reply(instruction);
    await world.state.replies.push(reply.message, reply.tree, 1);
    expect(await leaveOf(world, node, runId)).toEqual(all);
    world.clock.advance(10);
    expect(await leaveOf(world, node, runId)).toEqual(pushing);
  });

  it("ends when the app has received the reply", async () => {
    await using world = await createWorld();
    const { runId, node } = await runWithNode(world);
    const instruction = await world.send(runId, node);
    await world.state.instructions.take(node);
    const reply = await world.answer(runId, instruction);
    expect(await leaveOf(world, node, runId)).toEqual(all);
    await world.state.replies.confirm(runId, reply.id);
    expect(await leaveOf(world, node, runId)).toEqual(none);
  });

  it("ends when the app has been told that the node is not available", async () => {
    await using world = await createWorld();
    const { runId, node } = await runWithNode(world);
    const taken = await world.send(runId, node);
    await world.state.instructions.take(node);
    const waiting = await world.send(runId, node);
    await world.state.nodes.deactivate(node);
    world.clock.advance(1);
    expect(await answer(world, runId, taken.id)).toBe(5);
    expect(await leaveOf(world, node, runId)).toEqual(none);
    expect(await answer(world, runId, waiting.id)).toBe(5);
    expect(await world.state.instructions.take(node), "nobody waits for it").toBeUndefined();
  });
});

describe("replies", () => {
  it("case 54: stay until they are confirmed", async () => {
    await using world = await createWorld();
    const { runId, node } = await runWithNode(world);
    const instruction = await world.send(runId, node);
    expect(await answer(world, runId, instruction.id), "not yet").toBeUndefined();
    const reply = await world.answer(runId, instruction);
    const [first] = await world.state.replies.find(runId, [instruction.id, instruction.id]);
    expect(first).toEqual({ message: reply.message, tree: reply.tree });
    expect(await answer(world, runId, instruction.id)).toBe(reply.id);
    await world.state.replies.confirm(runId, reply.id);
    expect(await answer(world, runId, instruction.id)).toBe(3);
    expect(await world.state.objects.get(runId, reply.id)).toBeUndefined();
    expect(await world.state.objects.get(runId, instruction.id)).toBeUndefined();
  });

  it("case 36: win over an unavailable node, which else answers code 5", async () => {
    await using world = await createWorld();
    const { runId, node } = await runWithNode(world);
    const [offline, deleted] = [await world.onlineNode(), await world.onlineNode()];
    const toOffline = await world.send(runId, offline);
    const toDeleted = await world.send(runId, deleted);
    const answered = await world.send(runId, node);
    const reply = await world.answer(runId, answered);
    await world.state.nodes.deactivate(offline);
    await world.state.nodes.unregister(deleted);
    await world.state.nodes.unregister(node);
    world.clock.advance(1);
    expect(await answer(world, runId, toOffline.id)).toBe(5);
    expect(await answer(world, runId, toDeleted.id)).toBe(5);
    expect(await answer(world, runId, answered.id)).toBe(reply.id);
  });

  it("win over the expiry of the instruction", async () => {
    await using world = await createWorld();
    const { runId, node } = await runWithNode(world);
    const instruction = await world.send(runId, node, { ttlSeconds: 10 });
    const reply = await world.answer(runId, instruction);
    world.clock.advance(11);
    expect(await answer(world, runId, instruction.id)).toBe(reply.id);
  });

  it("expire a day after their ttl, with code 4", async () => {
    await using world = await createWorld();
    const { runId, token, node } = await runWithNode(world);
    const instruction = await world.send(runId, node, { ttlSeconds: 10 });
    await world.state.instructions.take(node);
    const reply = await world.answer(runId, instruction);
    await heartbeatFor(world, token, 86_400 + 9);
    expect(await answer(world, runId, instruction.id)).toBe(reply.id);
    expect(await world.state.instructions.mayPush(node, runId), "its objects").toBe(true);
    world.clock.advance(1);
    expect(await world.state.instructions.mayPush(node, runId)).toBe(false);
    expect(await answer(world, runId, instruction.id)).toBe(4);
    expect(await answer(world, runId, instruction.id), "stored").toBe(4);
    expect(await world.state.objects.get(runId, reply.id)).toBeUndefined();
  });

  it("case 37: may outlive the instruction by 0.1 s and not more", async () => {
    await using world = await createWorld();
    const { runId, node } = await runWithNode(world);
    const instruction = await world.send(runId, node, { ttlSeconds: 10 });
    world.clock.advance(3);
    const tooLong = world.reply(instruction, { ttlSeconds: 7.2 });
    expect(await world.state.replies.push(tooLong.message, tooLong.tree, 1)).toEqual({
      messageId: undefined,
      objectsToPush: [],
    });
    const fits = world.reply(instruction, { ttlSeconds: 7.05 });
    expect(await world.state.replies.push(fits.message, fits.tree, 1)).toMatchObject({
      messageId: fits.id,
    });
  });

  it("are refused when they come too late, from another node or to nothing", async () => {
    await using world = await createWorld();
    const { runId, node } = await runWithNode(world);
    const instruction = await world.send(runId, node, { ttlSeconds: 10 });
    const refused = { messageId: undefined, objectsToPush: [] };
    const push = ({ message, tree }: Pick<Draft, "message" | "tree">) =>
      world.state.replies.push(message, tree, 1);
    const reply = world.reply(instruction);
    const foreign = changed(reply.message, { srcNodeId: await world.onlineNode() });
    expect(await push({ message: foreign, tree: reply.tree })).toEqual(refused);
    const toNothing = changed(reply.message, { replyToMessageId: "f".repeat(64) });
    expect(await push({ message: toNothing, tree: reply.tree })).toEqual(refused);
    const late = world.reply(instruction, { ttlSeconds: 10.05 });
    world.clock.advance(10.01);
    expect(await push(late), "case 38").toEqual(refused);
    expect(await world.state.objects.get(runId, late.id), "nothing announced").toBeUndefined();
  });

  it("are stored once: a repetition changes nothing, another one is refused", async () => {
    await using world = await createWorld();
    const { runId, node } = await runWithNode(world);
    const instruction = await world.send(runId, node);
    const first = world.reply(instruction);
    const wanted = await world.state.replies.push(first.message, first.tree, 2);
    expect(await world.state.replies.push(first.message, first.tree, 2)).toEqual(wanted);
    const second = world.reply(instruction, { content: settings({ loss: 9 }) });
    expect(await world.state.replies.push(second.message, second.tree, 2)).toMatchObject({
      messageId: undefined,
    });
    expect(await answer(world, runId, instruction.id)).toBe(first.id);
    expect((await world.state.runs.find(runId))?.clientappRuntime).toBe(2);
  });

  it("come too late once the app has been told that the node is not available", async () => {
    await using world = await createWorld();
    const { runId, node } = await runWithNode(world);
    const instruction = await world.send(runId, node);
    await world.state.nodes.deactivate(node);
    world.clock.advance(1);
    expect(await answer(world, runId, instruction.id)).toBe(5);
    const reply = world.reply(instruction);
    expect(await world.state.replies.push(reply.message, reply.tree, 1)).toMatchObject({
      messageId: undefined,
    });
    expect(await answer(world, runId, instruction.id)).toBe(5);
  });

  it("case 43: go, with their instruction, when their objects are gone", async () => {
    await using world = await createWorld();
    const { runId, node } = await runWithNode(world);
    const instruction = await world.send(runId, node);
    const reply = await world.answer(runId, instruction);
    await world.state.objects.release(runId, reply.id);
    expect(await world.state.replies.find(runId, [instruction.id])).toEqual([]);
    expect(await answer(world, runId, instruction.id)).toBe(3);
  });

  it("are lost when their node goes before it has pushed their objects", async () => {
    await using world = await createWorld();
    const { runId, node } = await runWithNode(world);
    const { replies, nodes } = world.state;
    const [instruction, other] = [await world.send(runId, node), await world.send(runId, node)];
    const content = settings({ loss: 0.25 });
    const reply = world.reply(instruction, { content });
    const { objectsToPush } = await replies.push(reply.message, reply.tree, 1);
    expect(objectsToPush.length).toBeGreaterThan(1);
    const lost = () => Promise.all(objectsToPush.map((id) => replies.isLost(runId, id)));
    const all = (value: boolean) => objectsToPush.map(() => value);
    expect(await lost()).toEqual(all(false));
    await nodes.deactivate(node);
    world.clock.advance(1);
    expect(await lost()).toEqual(all(true));
    expect(await replies.isLost(runId, other.id), "no part of a reply").toBe(false);
    expect(await replies.isLost(await world.runningRun().then((run) => run.runId), reply.id)).toBe(
      false,
    );

    // Another node may bring the parts that its own reply has too.
    const second = await world.onlineNode();
    const sent = await world.send(runId, second);
    const same = world.reply(sent, { content });
    await replies.push(same.message, same.tree, 1);
    expect(await replies.isLost(runId, reply.id)).toBe(true);
    const shared = objectsToPush.filter((id) => id !== reply.id);
    for (const id of shared) expect(await replies.isLost(runId, id)).toBe(false);
    await nodes.unregister(second);
    for (const id of shared) expect(await replies.isLost(runId, id)).toBe(true);
  });

  it("need a running run, and a message that is a reply", async () => {
    await using world = await createWorld();
    const { runId, node } = await runWithNode(world);
    const instruction = await world.send(runId, node);
    await expect(
      world.state.replies.push(instruction.message, instruction.tree, 1),
    ).rejects.toMatchObject({ code: Code.InvalidArgument });
    const reply = world.reply(instruction);
    await expect(world.state.replies.push(reply.message, undefined, 1)).rejects.toMatchObject({
      code: Code.InvalidArgument,
    });
    await world.state.runs.stop(runId);
    await expect(world.state.replies.push(reply.message, reply.tree, 1)).rejects.toMatchObject({
      code: Code.PermissionDenied,
      rawMessage: "Run is finished. Stopped by user.",
    });
    await expect(world.state.replies.find(runId, [instruction.id])).rejects.toMatchObject({
      code: Code.PermissionDenied,
    });
  });
});

describe("error replies", () => {
  it("case 44: are objects like any other, one per instruction", async () => {
    await using world = await createWorld();
    const { runId, node } = await runWithNode(world);
    const { id } = await world.send(runId, node, { ttlSeconds: 10 });
    world.clock.advance(10);
    const [found] = await world.state.replies.find(runId, [id]);
    expect(found?.message.metadata).toMatchObject({
      ...{ runId: 0n, srcNodeId: 1n, dstNodeId: 1n, replyToMessageId: id },
      ...{ messageType: "system", groupId: "", ttl: 0 },
    });
    const messageId = found?.message.metadata?.messageId ?? "";
    expect(found?.tree).toMatchObject({ objectId: messageId, children: [] });
    const object = await world.state.objects.get(runId, messageId);
    const content = object?.content ?? new Uint8Array();
    expect(inflateMessage(messageId, new Map([[messageId, content]])).error.code).toBe(3);
    world.clock.advance(5);
    expect(await world.state.replies.find(runId, [id]), "the same one").toEqual([found]);
  });

  it("carry the instruction's metadata when the node is not available", async () => {
    await using world = await createWorld();
    const { runId, node } = await runWithNode(world);
    const { id, message } = await world.send(runId, node, {
      ttlSeconds: 100,
      messageType: "query",
    });
    await world.state.nodes.unregister(node);
    world.clock.advance(5);
    const [found] = await world.state.replies.find(runId, [id]);
    expect(found?.message.metadata).toMatchObject({
      ...{ runId, srcNodeId: 1n, dstNodeId: 1n, messageType: "query", ttl: 95 },
      groupId: metadata(message).groupId,
    });
  });

  it("arrive whole when they are larger than a piece", async () => {
    await using world = await createWorld();
    const { runId, node } = await runWithNode(world);
    const { id, message, tree, object } = world.instruction(runId, node);
    const groupId = "g".repeat(2 * pieceBytes.sqlite);
    const { metadata: given } = message;
    const large = { ...message, ...(given && { metadata: { ...given, groupId } }) };
    await world.state.instructions.push(runId, [large], [tree]);
    await world.upload(runId, { id, message, tree, object });
    await world.state.nodes.unregister(node);
    const [found] = await world.state.replies.find(runId, [id]);
    const messageId = found?.message.metadata?.messageId ?? "";
    const content = (await world.state.objects.get(runId, messageId))?.content ?? new Uint8Array();
    const reply = inflateMessage(messageId, new Map([[messageId, content]]));
    expect([reply.error.code, reply.metadata.groupId === groupId]).toEqual([5, true]);
  });

  it("are not stored per poll, and go when they are confirmed", async () => {
    await using world = await createWorld();
    const { runId } = await runWithNode(world);
    const unknown = "e".repeat(64);
    const asked = [unknown, "", unknown];
    const first = await world.state.replies.find(runId, asked);
    expect(first.map(({ message }) => message.error?.code)).toEqual([3n, 3n]);
    world.clock.advance(1);
    expect(await world.state.replies.find(runId, asked)).toEqual(first);
    const messageId = first[0]?.tree.objectId ?? "";
    await world.state.replies.confirm(runId, messageId);
    expect(await world.state.objects.get(runId, messageId)).toBeUndefined();
    expect(await answer(world, runId, unknown)).toBe(3);
  });

  it("stand for the ids of other runs, of which nothing is told", async () => {
    await using world = await createWorld();
    const { runId, node } = await runWithNode(world);
    const instruction = await world.send(runId, node);
    const reply = await world.answer(runId, instruction);
    const { runId: spy } = await world.runningRun();
    expect(await answer(world, spy, instruction.id)).toBe(3);
    await world.state.replies.confirm(spy, reply.id);
    await world.state.replies.confirm(spy, instruction.id);
    expect(await answer(world, runId, instruction.id)).toBe(reply.id);
    expect((await world.state.objects.get(runId, reply.id))?.content).toBeDefined();
  });
});

function metadata(message: Draft["message"]) {
  if (message.metadata === undefined) {
    throw new Error("a draft has metadata");
  }
  return message.metadata;
}

function changed(
  message: Draft["message"],
  changes: Partial<NonNullable<Draft["message"]["metadata"]>>,
): Draft["message"] {
  return { ...message, metadata: { ...metadata(message), ...changes } };
}

/** Keeps a run's token alive for some seconds by heartbeats. */
async function heartbeatFor(world: World, token: string, seconds: number): Promise<void> {
  const claims = await world.authority.verify(token);
  if (claims === undefined || !("tokenDigest" in claims)) {
    throw new Error("the token must be live");
  }
  for (let left = seconds; left > 0; left -= 60) {
    if (!(await world.authority.extend(claims.tokenDigest))) {
      throw new Error("the token has expired");
    }
    world.clock.advance(Math.min(left, 60));
  }
  await world.authority.extend(claims.tokenDigest);
}
