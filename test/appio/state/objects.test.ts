import { Code } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import type { ObjectTree } from "../../../gen/flwr/proto/message_pb.ts";
import { contentsOf } from "../../../src/appio/objects/deflate.ts";
import { objectIdOf } from "../../../src/appio/objects/object-id.ts";
import { objectTree } from "../../../src/appio/objects/object-tree.ts";
import type { StateTables } from "../../../src/appio/state/tables.ts";
import { announce as announceIn, testObject } from "./announcing.ts";
import { createWorld } from "./world.ts";

type World = Awaited<ReturnType<typeof createWorld>>;

/** Announces trees without a message around them. */
function announce(world: World, runId: bigint, ...trees: ObjectTree[]): Promise<string[]> {
  return announceIn(world.database, runId, ...trees);
}

const grandchild = testObject("g");
const child1 = testObject("c1", [grandchild]);
const child2 = testObject("c2");
const parent1 = testObject("p1", [child1, child2]);
const parent2 = testObject("p2", [child2]);
const all = [grandchild, child1, child2, parent1, parent2];
const tree1 = objectTree(parent1.id, [
  objectTree(child1.id, [objectTree(grandchild.id)]),
  objectTree(child2.id),
]);
const tree2 = objectTree(parent2.id, [objectTree(child2.id)]);

/** Which of the five objects a run still has. */
async function left(world: World, runId: bigint): Promise<string[]> {
  const names = ["g", "c1", "c2", "p1", "p2"];
  const found = await Promise.all(all.map(({ id }) => world.state.objects.get(runId, id)));
  return names.filter((_, index) => found[index] !== undefined);
}

describe("putting objects", () => {
  it("case 45: keeps announced bytes and gives them back", async () => {
    await using world = await createWorld();
    const { runId } = await world.runningRun();
    expect(await announce(world, runId, objectTree(child1.id))).toEqual([child1.id]);
    expect(await world.state.objects.get(runId, child1.id)).toEqual({ content: undefined });
    expect(await world.state.objects.put(runId, child1.id, child1.content)).toBe(true);
    const found = await world.state.objects.get(runId, child1.id);
    expect(found?.content && [...found.content]).toEqual([...child1.content]);
    expect(await world.state.objects.get(runId, child2.id)).toBeUndefined();
  });

  it("keeps objects of any size", async () => {
    await using world = await createWorld();
    const { runId } = await world.runningRun();
    // On PostgreSQL two full pieces and a bit.
    const { id, content } = testObject("large ".repeat(6_000_000));
    await announce(world, runId, objectTree(id));
    expect(await world.state.objects.put(runId, id, content)).toBe(true);
    const found = (await world.state.objects.get(runId, id))?.content ?? new Uint8Array();
    expect(Buffer.compare(found, content)).toBe(0);
  });

  it("case 47: refuses bytes of another hash, and what was not announced", async () => {
    await using world = await createWorld();
    const { runId } = await world.runningRun();
    await announce(world, runId, objectTree(child1.id));
    expect(await world.state.objects.put(runId, child1.id, child2.content)).toBe(false);
    expect(await world.state.objects.put(runId, child2.id, child2.content)).toBe(false);
    expect(await world.state.objects.get(runId, child1.id)).toEqual({ content: undefined });
  });

  it("case 48: refuses bytes that are no object", async () => {
    await using world = await createWorld();
    const { runId } = await world.runningRun();
    const texts = ["ArrayChunk 0\0", "ArrayChunk  2\0x", "Pickle  0\0", "Array abc 0\0", "no head"];
    for (const text of texts) {
      const content = new TextEncoder().encode(text);
      const id = objectIdOf(content);
      await announce(world, runId, objectTree(id));
      await expect(world.state.objects.put(runId, id, content)).rejects.toMatchObject({
        code: Code.FailedPrecondition,
        rawMessage: expect.stringContaining(`Object with ID '${id}' has an unexpected structure.`),
      });
    }
  });

  it("case 53: does nothing the second time", async () => {
    await using world = await createWorld();
    const { runId } = await world.runningRun();
    await announce(world, runId, objectTree(child1.id));
    expect(await world.state.objects.put(runId, child1.id, child1.content)).toBe(true);
    expect(await world.state.objects.put(runId, child1.id, child1.content)).toBe(true);
    await world.state.objects.release(runId, child1.id);
    expect(await storedBytes(world)).toBe(0);
  });

  it("needs a running run", async () => {
    await using world = await createWorld();
    const { runId } = await world.startingRun();
    const refusal = { code: Code.PermissionDenied, rawMessage: "Run is starting." };
    const { objects } = world.state;
    await expect(objects.put(runId, child1.id, child1.content)).rejects.toMatchObject(refusal);
    // Told before anything of the bytes.
    await expect(objects.put(runId, child1.id, child2.content)).rejects.toMatchObject(refusal);
    const noObject = new TextEncoder().encode("no head");
    const put = objects.put(runId, objectIdOf(noObject), noObject);
    await expect(put).rejects.toMatchObject(refusal);
    await expect(objects.get(runId, child1.id)).rejects.toMatchObject(refusal);
    await expect(objects.release(runId, child1.id)).rejects.toMatchObject(refusal);
  });
});

describe("announcing objects", () => {
  it("case 51: asks for what is not there, children before parents", async () => {
    await using world = await createWorld();
    const { runId } = await world.runningRun();
    const order = [grandchild.id, child1.id, child2.id, parent1.id];
    expect(await announce(world, runId, tree1)).toEqual(order);
    expect(await announce(world, runId, tree1)).toEqual(order);
    await world.state.objects.put(runId, child2.id, child2.content);
    expect(await announce(world, runId, tree1, tree2)).toEqual([
      grandchild.id,
      child1.id,
      parent1.id,
      parent2.id,
    ]);
  });

  it("takes trees of any depth and many objects", async () => {
    await using world = await createWorld();
    const { runId } = await world.runningRun();
    const ids = Array.from({ length: 1500 }, (_, index) => testObject(`deep ${index}`).id);
    const deep = ids.reduce<ObjectTree | undefined>(
      (below, id) => objectTree(id, below === undefined ? [] : [below]),
      undefined,
    );
    expect(await announce(world, runId, deep ?? objectTree(""))).toEqual(ids);
    await world.state.objects.release(runId, ids.at(-1) ?? "");
    expect(await world.state.objects.get(runId, ids[0] ?? "")).toBeUndefined();
  });
});

describe("releasing objects", () => {
  async function both(world: World, runId: bigint) {
    await announce(world, runId, tree1, tree2);
    for (const { id, content } of all) {
      await world.state.objects.put(runId, id, content);
    }
  }

  it("case 49: goes down to what others still hold", async () => {
    await using world = await createWorld();
    const { runId } = await world.runningRun();
    await both(world, runId);
    await world.state.objects.release(runId, child2.id);
    expect(await left(world, runId), "held by its parents").toHaveLength(5);
    await world.state.objects.release(runId, parent1.id);
    expect(await left(world, runId)).toEqual(["c2", "p2"]);
    await world.state.objects.release(runId, parent2.id);
    expect(await left(world, runId)).toEqual([]);
    expect(await storedBytes(world)).toBe(0);
  });

  it("case 50: a run's end takes nothing from another run", async () => {
    await using world = await createWorld();
    const { runId: first } = await world.runningRun();
    const { runId: second } = await world.runningRun();
    await both(world, first);
    await both(world, second);
    expect(await storedBytes(world), "kept once").toBe(5);
    await world.state.runs.stop(first);
    expect(await left(world, second)).toHaveLength(5);
    expect((await world.state.objects.get(second, parent1.id))?.content).toBeDefined();
    await world.state.runs.stop(second);
    expect(await storedBytes(world)).toBe(0);
  });
});

describe("another run's objects", () => {
  it("cannot be read by announcing their ids", async () => {
    await using world = await createWorld();
    const { runId } = await world.runningRun();
    const { runId: thief } = await world.runningRun();
    const secret = await world.send(runId, await world.onlineNode());
    expect(await announce(world, thief, secret.tree)).toContain(secret.id);
    for (const [id] of contentsOf(secret.object)) {
      expect(await world.state.objects.get(thief, id)).toEqual({ content: undefined });
    }
  });

  it("cannot be pinned or deleted", async () => {
    await using world = await createWorld();
    const { runId } = await world.runningRun();
    const { runId: attacker } = await world.runningRun();
    await announce(world, runId, tree1);
    for (const { id, content } of [grandchild, child1, child2, parent1]) {
      await world.state.objects.put(runId, id, content);
    }
    await announce(world, attacker, objectTree(testObject("pin").id, [tree1]));
    await world.state.objects.release(attacker, testObject("pin").id);
    await world.state.replies.confirm(attacker, parent1.id);
    expect(await left(world, runId)).toEqual(["g", "c1", "c2", "p1"]);
    await announce(world, attacker, objectTree(testObject("pin").id, [tree1]));
    await world.state.objects.release(runId, parent1.id);
    expect(await left(world, runId)).toEqual([]);
    expect(await storedBytes(world), "the attacker pins ids, not bytes").toBe(0);
  });

  it("are found by their bytes only", async () => {
    await using world = await createWorld();
    const { runId } = await world.runningRun();
    const { runId: other } = await world.runningRun();
    for (const run of [runId, other]) {
      await announce(world, run, objectTree(child1.id));
    }
    await world.state.objects.put(runId, child1.id, child1.content);
    await world.state.objects.put(other, child1.id, child1.content);
    await world.state.objects.release(runId, child1.id);
    expect((await world.state.objects.get(other, child1.id))?.content).toBeDefined();
    expect(await storedBytes(world)).toBe(1);
  });
});

async function storedBytes(world: World): Promise<number> {
  const { query } = world.database.withTables<StateTables>();
  const contents = await query.selectFrom("object_content").select("object_id").execute();
  const objects = await query.selectFrom("object").select("object_id").execute();
  expect(contents).toHaveLength(objects.length);
  return contents.length;
}
