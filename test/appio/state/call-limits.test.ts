import { setImmediate } from "node:timers/promises";
import { Code } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { objectTree } from "../../../src/appio/objects/object-tree.ts";
import { callLimits } from "../../../src/appio/state/call-limits.ts";
import { readTrees } from "../../../src/appio/state/object-graph.ts";
import type { StateTables } from "../../../src/appio/state/tables.ts";
import { maxUnaskedAnswers } from "../../../src/appio/state/unasked-answers.ts";
import { announce, testObject } from "./announcing.ts";
import { createWorld } from "./world.ts";

type World = Awaited<ReturnType<typeof createWorld>>;

/** Ids of messages that nobody has sent. */
function unknownIds(count: number, from = 0): string[] {
  return Array.from({ length: count }, (_, index) => (from + index).toString(16).padStart(64, "0"));
}

async function countOf(world: World, table: "reply" | "object"): Promise<number> {
  const { query } = world.database.withTables<StateTables>();
  return (await query.selectFrom(table).selectAll().execute()).length;
}

describe("a call that names too much is told what, how many and how many may be", () => {
  it("messages", async () => {
    await using world = await createWorld();
    const { runId } = await world.runningRun();
    const node = await world.onlineNode();
    const { message, tree } = world.instruction(runId, node);
    const many = callLimits.messages + 1;
    const push = world.state.instructions.push(
      runId,
      Array.from({ length: many }, () => message),
      Array.from({ length: many }, () => tree),
    );
    await expect(push).rejects.toMatchObject({
      code: Code.InvalidArgument,
      rawMessage: `\`messages_list\` has ${many} entries: at most ${callLimits.messages} may be in a call.`,
    });
    expect(await world.state.instructions.take(node)).toBeUndefined();
  });

  it("ids of messages", async () => {
    await using world = await createWorld();
    const { runId } = await world.runningRun();
    const ids = unknownIds(callLimits.messageIds + 1);
    await expect(world.state.replies.find(runId, ids)).rejects.toMatchObject({
      code: Code.InvalidArgument,
      rawMessage: `\`message_ids\` has ${ids.length} entries: at most ${callLimits.messageIds} may be in a call.`,
    });
    expect(await countOf(world, "reply")).toBe(0);
  });

  it("objects, as soon as it is one of the turns after the limit", async () => {
    const leaf = objectTree("0".repeat(64));
    const tree = objectTree(
      "1".repeat(64),
      Array.from({ length: callLimits.treeObjects }, () => leaf),
    );
    await expect(readTrees([tree], "message_object_trees")).rejects.toMatchObject({
      code: Code.InvalidArgument,
      rawMessage: expect.stringMatching(
        /^`message_object_trees` has 50000[01] entries: at most 500000 /,
      ),
    });
  });
});

describe("much in one call", () => {
  it("lets others have their turns in between", async () => {
    await using world = await createWorld();
    const { runId } = await world.runningRun();
    const node = await world.onlineNode();
    const drafts = Array.from({ length: 500 }, () => world.instruction(runId, node));
    let turns = 0;
    let isDone = false;
    const push = world.state.instructions
      .push(
        runId,
        drafts.map(({ message }) => message),
        drafts.map(({ tree }) => tree),
      )
      .finally(() => {
        isDone = true;
      });
    while (!isDone) {
      await setImmediate();
      turns += 1;
    }
    expect((await push).messageIds).toHaveLength(500);
    expect(turns).toBeGreaterThan(50);
  });
});

describe("answers of many MiB", () => {
  it("come about 8 MiB at a time: whoever asks for the rest gets it", async () => {
    await using world = await createWorld();
    const { runId } = await world.runningRun();
    const node = await world.onlineNode();
    const large = "g".repeat(4 * 1024 * 1024);
    const sent: string[] = [];
    for (let count = 0; count < 3; count++) {
      const instruction = await world.send(runId, node);
      const reply = world.reply(instruction);
      const { metadata } = reply.message;
      if (metadata !== undefined) {
        metadata.groupId = large;
      }
      await world.state.replies.push(reply.message, reply.tree, 1);
      await world.upload(runId, reply);
      sent.push(instruction.id);
    }
    const repliesTo = async (ids: readonly string[]) =>
      (await world.state.replies.find(runId, ids)).map(
        ({ message }) => message.metadata?.replyToMessageId,
      );
    expect(await repliesTo(sent)).toEqual(sent.slice(0, 2));
    expect(await repliesTo(sent.slice(2))).toEqual(sent.slice(2));
  });
});

describe("answers to ids that nobody knows", () => {
  it("are kept up to a bound, the newest of them, and without bytes after that", async () => {
    await using world = await createWorld();
    const { runId } = await world.runningRun();
    for (let from = 0; from < 3 * maxUnaskedAnswers; from += maxUnaskedAnswers) {
      world.clock.advance(1);
      const ids = unknownIds(maxUnaskedAnswers, from);
      const answers = await world.state.replies.find(runId, ids);
      expect(answers.map(({ message }) => message.error?.code)).toEqual(ids.map(() => 3n));
    }
    expect(await countOf(world, "reply")).toBe(maxUnaskedAnswers);
    expect(await countOf(world, "object")).toBe(maxUnaskedAnswers);
  });
});

describe("another's object, announced anew by somebody of the same run", () => {
  const child = testObject("child");
  const parent = testObject("parent", [child]);

  it("without its children keeps those that were announced", async () => {
    await using world = await createWorld();
    const { runId } = await world.runningRun();
    await announce(world.database, runId, objectTree(parent.id, [objectTree(child.id)]));
    await announce(world.database, runId, objectTree(parent.id));
    for (const { id, content } of [child, parent]) {
      expect(await world.state.objects.put(runId, id, content)).toBe(true);
    }
    // The child is still its parent's: it cannot be released apart from it.
    await world.state.objects.release(runId, child.id);
    expect(await world.state.objects.get(runId, child.id)).toBeDefined();
    await world.state.objects.release(runId, parent.id);
    expect(await world.state.objects.get(runId, child.id)).toBeUndefined();
  });

  it("with other children has those that its bytes name", async () => {
    await using world = await createWorld();
    const { runId } = await world.runningRun();
    const pinned = testObject("pinned");
    await announce(world.database, runId, objectTree(parent.id, [objectTree(pinned.id)]));
    await announce(world.database, runId, objectTree(parent.id, [objectTree(child.id)]));
    for (const { id, content } of [pinned, child, parent]) {
      await world.state.objects.put(runId, id, content);
    }
    await world.state.objects.release(runId, pinned.id);
    expect(await world.state.objects.get(runId, pinned.id)).toBeUndefined();
    await world.state.objects.release(runId, child.id);
    expect(await world.state.objects.get(runId, child.id)).toBeDefined();
  });
});
