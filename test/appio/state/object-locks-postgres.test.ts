import { sql } from "kysely";
import { describe, expect, it } from "vitest";
import type { ObjectTree } from "../../../gen/flwr/proto/message_pb.ts";
import { objectIdOf } from "../../../src/appio/objects/object-id.ts";
import { objectTree } from "../../../src/appio/objects/object-tree.ts";
import type { StateTransaction } from "../../../src/appio/state/core.ts";
import { readTrees } from "../../../src/appio/state/object-graph.ts";
import { releaseObjects } from "../../../src/appio/state/object-release.ts";
import { announceObjects } from "../../../src/appio/state/object-trees.ts";
import { hasObject } from "../../../src/appio/state/objects.ts";
import type { StateTables } from "../../../src/appio/state/tables.ts";
import { type SqlUint64, toSqlInteger } from "../../../src/authority/sql-integer.ts";
import { createStore } from "../../store.ts";
import { createWorld } from "./world.ts";

type Work = (tx: StateTransaction) => Promise<unknown>;

function idOf(name: string): string {
  return objectIdOf(new TextEncoder().encode(`ArrayChunk  ${name.length}\0${name}`));
}

const [first, second, child] = [idOf("first"), idOf("second"), idOf("child")];

/** A run of two replicas that has announced one object with a child. */
async function prepare() {
  const store = createStore();
  const world = await createWorld(store);
  const other = (await store.open()).withTables<StateTables>();
  const database = world.database.withTables<StateTables>();
  const id = toSqlInteger((await world.runningRun()).runId);
  await database.transaction(announcing(id, objectTree(first, [objectTree(child)])));

  /**
   * Does `held` in one replica, and before it commits `work` in the other.
   * Returns whether that one has waited for the commit.
   */
  async function overlap(held: Work, work: Work): Promise<boolean> {
    let isDone = false;
    let hasWaited = false;
    let working: Promise<unknown> = Promise.resolve();
    await database.transaction(async (tx) => {
      await held(tx);
      working = other.transaction(work).finally(() => {
        isDone = true;
      });
      while (!isDone && !hasWaited) {
        const { rows } = await sql`
          select pid from pg_stat_activity where pg_backend_pid() = any (pg_blocking_pids(pid))
        `.execute(tx.query);
        hasWaited = rows.length > 0;
      }
    });
    await working;
    return hasWaited;
  }

  return {
    ...{ id, database, overlap },
    async [Symbol.asyncDispose]() {
      await other.close();
      await world[Symbol.asyncDispose]();
    },
  };
}

function announcing(id: SqlUint64, tree: ObjectTree) {
  return async (tx: StateTransaction) => announceObjects(tx, id, await readTrees([tree], "trees"));
}

const announceSecond = (id: SqlUint64) => announcing(id, objectTree(second, [objectTree(child)]));

describe("announcing an object whose child is just being released", () => {
  it("holds the child when it came first", async () => {
    await using run = await prepare();
    const { id } = run;
    const hasWaited = await run.overlap(announceSecond(id), (tx) =>
      releaseObjects(tx, id, [first]),
    );
    expect(hasWaited).toBe(true);
    await run.database.transaction(async (tx) => {
      expect(await hasObject(tx, id, first)).toBe(false);
      expect(await hasObject(tx, id, child)).toBe(true);
    });
  });

  it("announces the child anew when it came second", async () => {
    await using run = await prepare();
    const { id } = run;
    let toPush: unknown;
    const hasWaited = await run.overlap(
      (tx) => releaseObjects(tx, id, [first]),
      async (tx) => {
        toPush = await announceSecond(id)(tx);
      },
    );
    expect(hasWaited).toBe(true);
    expect(toPush).toEqual([child, second]);
    await run.database.transaction(async (tx) => {
      expect(await hasObject(tx, id, child)).toBe(true);
    });
  });

  it("waits for nobody who announces as well", async () => {
    await using run = await prepare();
    const third = objectTree(idOf("third"), [objectTree(child)]);
    const hasWaited = await run.overlap(announceSecond(run.id), announcing(run.id, third));
    expect(hasWaited).toBe(false);
  });
});
