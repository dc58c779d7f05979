import fc from "fast-check";
import { expect, it } from "vitest";
import type { ObjectTree } from "../../../gen/flwr/proto/message_pb.ts";
import { objectTree } from "../../../src/appio/objects/object-tree.ts";
import type { StateTables } from "../../../src/appio/state/tables.ts";
import { announce, type TestObject, testObject } from "./announcing.ts";
import { createWorld } from "./world.ts";

/** Objects 0 to 5; their bytes name one or two of the lower ones, whatever is announced. */
const objects: TestObject[] = [];
for (let index = 0; index < 6; index += 1) {
  objects.push(testObject(`${index}`, objects.slice(Math.max(0, index - 2), index)));
}
const contents = objects.map(({ content }) => content);
const ids = objects.map(({ id }) => id);
const idOf = (object: number) => ids[object] ?? "";
const trueChildren = (object: number) => [object - 2, object - 1].filter((child) => child >= 0);

/** What one run has, said as plainly as possible. */
interface Model {
  readonly children: Map<number, readonly number[]>;
  readonly available: Set<number>;
}

function announceInModel(
  { children, available }: Model,
  object: number,
  below: readonly number[],
): void {
  for (const child of below.filter((each) => !children.has(each))) {
    children.set(child, []);
  }
  if (!available.has(object)) {
    children.set(object, [...new Set([...(children.get(object) ?? []), ...below])]);
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

// Some thousand transactions, of which a busy machine makes a hundred in a second.
it("keeps for each run what a plain model keeps, and the bytes that some run has", {
  timeout: 120_000,
}, async () => {
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
          announceInModel(model, step.object, step.below);
          await announce(world.database, runId, treeOf(step.object, step.below));
        } else if (step.kind === "put") {
          const isAnnounced = model.children.has(step.object);
          if (isAnnounced && !model.available.has(step.object)) {
            model.available.add(step.object);
            model.children.set(step.object, trueChildren(step.object));
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

async function keptBytes(world: World): Promise<string[]> {
  const { query } = world.database.withTables<StateTables>();
  const rows = await query.selectFrom("object_content").select("object_id").execute();
  return rows.map(({ object_id }) => object_id).toSorted();
}
