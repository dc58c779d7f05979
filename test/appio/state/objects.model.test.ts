import fc from "fast-check";
import { expect, it } from "vitest";
import type { ObjectTree } from "../../../gen/flwr/proto/message_pb.ts";
import { objectIdOf } from "../../../src/appio/objects/object-id.ts";
import { objectTree } from "../../../src/appio/objects/object-tree.ts";
import { announceTrees } from "../../../src/appio/state/object-trees.ts";
import type { StateTables } from "../../../src/appio/state/tables.ts";
import { toSqlInteger } from "../../../src/authority/sql-integer.ts";
import { createWorld } from "./world.ts";

/** Objects 0 to 5; whoever announces one says which of the lower ones are its children. */
const contents = Array.from({ length: 6 }, (_, index) =>
  new TextEncoder().encode(`ArrayChunk  1\0${index}`),
);
const ids = contents.map((content) => objectIdOf(content));
const idOf = (object: number) => ids[object] ?? "";

/** What one run has, said as plainly as possible. */
interface Model {
  readonly children: Map<number, readonly number[]>;
  readonly available: Set<number>;
}

function announceInModel({ children }: Model, object: number, below: readonly number[]): void {
  for (const child of below.filter((each) => !children.has(each))) {
    children.set(child, []);
  }
  if (!children.has(object)) {
    children.set(object, below);
  }
}

function releaseInModel(model: Model, object: number): void {
  const { children, available } = model;
  const below = children.get(object);
  const isHeld = [...children.values()].some((list) => list.includes(object));
  if (below === undefined || isHeld) {
    return;
  }
  children.delete(object);
  available.delete(object);
  for (const child of below) {
    releaseInModel(model, child);
  }
}

const object = fc.nat({ max: 5 });
const run = fc.nat({ max: 1 });
const command = fc.oneof(
  fc.record({
    kind: fc.constant("announce" as const),
    run,
    object,
    below: fc.uniqueArray(object, { maxLength: 3 }),
  }),
  fc.record({ kind: fc.constant("put" as const), run, object }),
  fc.record({ kind: fc.constant("release" as const), run, object }),
);

it("keeps for each run what a plain model keeps, and the bytes that some run has", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(command, { maxLength: 40 }), async (commands) => {
      await using world = await createWorld();
      const runIds = [(await world.runningRun()).runId, (await world.runningRun()).runId];
      const models = runIds.map((): Model => ({ children: new Map(), available: new Set() }));
      for (const step of commands) {
        const runId = runIds[step.run] ?? 0n;
        const model = models[step.run] ?? models[0];
        if (model === undefined) {
          throw new Error("there are two runs");
        }
        if (step.kind === "announce") {
          const below = step.below.filter((child) => child < step.object);
          announceInModel(model, step.object, below);
          await announce(world, runId, treeOf(step.object, below));
        } else if (step.kind === "put") {
          const isAnnounced = model.children.has(step.object);
          if (isAnnounced) {
            model.available.add(step.object);
          }
          const content = contents[step.object] ?? new Uint8Array();
          const stored = await world.state.objects.put(runId, idOf(step.object), content);
          expect(stored).toBe(isAnnounced);
        } else {
          releaseInModel(model, step.object);
          await world.state.objects.release(runId, idOf(step.object));
        }
      }
      for (const [index, model] of models.entries()) {
        for (const [object, id] of ids.entries()) {
          const found = await world.state.objects.get(runIds[index] ?? 0n, id);
          expect(found !== undefined).toBe(model.children.has(object));
          expect(found?.content !== undefined).toBe(model.available.has(object));
        }
      }
      const kept = new Set(models.flatMap(({ available }) => [...available].map(idOf)));
      expect(await keptBytes(world)).toEqual([...kept].toSorted());
    }),
    { numRuns: 60 },
  );
});

type World = Awaited<ReturnType<typeof createWorld>>;

function treeOf(object: number, below: readonly number[]): ObjectTree {
  return objectTree(
    idOf(object),
    below.map((child) => objectTree(idOf(child))),
  );
}

function announce(world: World, runId: bigint, tree: ObjectTree): Promise<string[]> {
  return world.database
    .withTables<StateTables>()
    .transaction((tx) => announceTrees(tx, toSqlInteger(runId), [tree]));
}

async function keptBytes(world: World): Promise<string[]> {
  const { query } = world.database.withTables<StateTables>();
  const rows = await query.selectFrom("object_content").select("object_id").execute();
  return rows.map(({ object_id }) => object_id).toSorted();
}
