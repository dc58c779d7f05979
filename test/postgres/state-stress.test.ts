import { Code, ConnectError } from "@connectrpc/connect";
import { type Kysely, sql } from "kysely";
import { expect, test } from "vitest";
import { contentsOf } from "../../src/appio/objects/deflate.ts";
import { createLinkState, type LinkState } from "../../src/appio/state/link-state.ts";
import type { StateTables } from "../../src/appio/state/tables.ts";
import { createAuthority } from "../../src/authority/authority.ts";
import { createDrafts, type Draft, settings } from "../appio/state/drafts.ts";
import { openPlace } from "../place.ts";
import { createSharedPlace } from "../store.ts";

const workers = 12;
const stepsOfEach = 60;

/** What callers must expect when others act on the same run: it has ended, or it never began. */
const expected: ReadonlySet<Code> = new Set([Code.PermissionDenied, Code.FailedPrecondition]);

/**
 * Everything at once, on few runs whose messages share objects: what the locks
 * and the single statements are for. Afterwards the tables must agree.
 */
test("many callers of two replicas leave the state consistent", { timeout: 120_000 }, async () => {
  const place = await createSharedPlace();
  const databases = [await openPlace(place), await openPlace(place)];
  const states = await Promise.all(
    databases.map(async (database) =>
      createLinkState({ database, authority: await createAuthority({ database }) }),
    ),
  );
  const [first] = states;
  const [database] = databases;
  if (first === undefined || database === undefined) {
    throw new Error("there is no state");
  }
  const nodes = [await onlineNode(first), await onlineNode(first)];
  const shared = {
    runs: new Set<bigint>(),
    pushed: [] as { readonly runId: bigint; readonly instruction: Draft }[],
    replies: [] as { readonly runId: bigint; readonly id: string }[],
    taken: [] as string[],
    failures: [] as unknown[],
    counts: new Map<string, number>(),
  };
  const drafts = createDrafts(Date.now);

  const steps: Record<string, (state: LinkState) => Promise<unknown>> = {
    async begin(state) {
      // Few: it is about those who meet.
      if (shared.runs.size >= 3) {
        return;
      }
      const [runId = 0n] = await state.runs.create({ fab: new Uint8Array([1]) });
      await state.runs.claim(runId);
      await state.inputs.start(runId);
      shared.runs.add(runId);
    },
    async push(state) {
      const runId = pick([...shared.runs]);
      if (runId === undefined) {
        return;
      }
      // Few different contents: most objects are shared by messages, and by runs.
      const content = settings({ shared: Math.floor(Math.random() * 3) });
      const instruction = drafts.instruction(runId, pick(nodes) ?? 0n, { content });
      await state.instructions.push(runId, [instruction.message], [instruction.tree]);
      await upload(state, runId, instruction);
      shared.pushed.push({ runId, instruction });
    },
    async take(state) {
      const taken = await state.instructions.take(pick(nodes) ?? 0n);
      if (taken !== undefined) {
        const { messageId = "", runId = 0n } = taken.message.metadata ?? {};
        shared.taken.push(messageId);
        await state.objects.release(runId, messageId);
      }
    },
    async reply(state) {
      const answered = pick(shared.pushed);
      if (answered === undefined) {
        return;
      }
      const content = settings({ shared: Math.floor(Math.random() * 3) });
      const reply = drafts.reply(answered.instruction, { content });
      await state.replies.push(reply.message, reply.tree, 0.5);
      await upload(state, answered.runId, reply);
      shared.replies.push({ runId: answered.runId, id: reply.id });
    },
    async find(state) {
      const asked = pick(shared.pushed);
      await (asked && state.replies.find(asked.runId, [asked.instruction.id, crypto.randomUUID()]));
    },
    async confirm(state) {
      const reply = pick(shared.replies);
      await (reply && state.replies.confirm(reply.runId, reply.id));
    },
    async log(state) {
      const runId = pick([...shared.runs]);
      await (runId && state.logs.append(runId, "line\n"));
    },
    async traffic(state) {
      const runId = pick([...shared.runs]);
      await (runId && state.runs.addTraffic(runId, { bytesSent: 1 }));
    },
    async end(state) {
      const runId =
        shared.runs.size > 2 && Math.random() < 0.2 ? pick([...shared.runs]) : undefined;
      if (runId !== undefined) {
        await state.runs.stop(runId);
        shared.runs.delete(runId);
      }
    },
  };

  async function upload(state: LinkState, runId: bigint, draft: Draft): Promise<void> {
    for (const [id, content] of contentsOf(draft.object)) {
      await state.objects.put(runId, id, content);
    }
  }

  async function work(state: LinkState): Promise<void> {
    for (let count = 0; count < stepsOfEach; count++) {
      const name = pick(Object.keys(steps)) ?? "";
      try {
        await steps[name]?.(state);
        shared.counts.set(name, (shared.counts.get(name) ?? 0) + 1);
      } catch (error) {
        if (!(error instanceof ConnectError && expected.has(error.code))) {
          shared.failures.push(error);
        }
      }
    }
  }

  await steps.begin?.(first);
  await Promise.all(
    Array.from({ length: workers }, (_, index) => work(states[index % states.length] ?? first)),
  );

  expect(shared.failures).toEqual([]);
  expect(new Set(shared.taken).size, "no message was taken twice").toBe(shared.taken.length);
  expect(await disagreements(database.withTables<StateTables>().query)).toEqual({
    wrongHolders: 0n,
    contentsWithoutCount: 0n,
    danglingChildren: 0n,
    leftOfFinishedRuns: 0n,
  });
  for (const runId of shared.runs) {
    await first.runs.stop(runId);
  }
  const { rows } = await sql<{ left: bigint }>`
    select (select count(*) from object) + (select count(*) from object_content)
      + (select count(*) from run_object) + (select count(*) from reply) as left
  `.execute(database.withTables<StateTables>().query);
  expect(rows).toEqual([{ left: 0n }]);
  console.log(
    [...shared.counts].map(([name, count]) => `${name} ${count}`).join(", "),
    `deadlocks ended by the server: ${await deadlocks(database.withTables<StateTables>().query)}`,
  );
  await Promise.all(databases.map((each) => each.close()));
});

async function onlineNode(state: LinkState): Promise<bigint> {
  const publicKey = crypto.getRandomValues(new Uint8Array(32));
  await state.nodes.register(publicKey);
  return state.nodes.activate(publicKey, 1800);
}

function pick<T>(list: readonly T[]): T | undefined {
  return list[Math.floor(Math.random() * list.length)];
}

/** How many rows contradict others. */
async function disagreements(query: Kysely<StateTables>) {
  const { rows } = await sql`
    select
      (select count(*) from object where holders <> (
        select count(*) from run_object
        where run_object.object_id = object.object_id and is_available = 1
      )) as "wrongHolders",
      (select count(*) from object full join object_content using (object_id)
        where holders is null or piece is null) as "contentsWithoutCount",
      (select count(*) from run_object_child as edge where not exists (
        select 1 from run_object where run_id = edge.run_id and object_id = edge.child_id
      ) or not exists (
        select 1 from run_object where run_id = edge.run_id and object_id = edge.parent_id
      )) as "danglingChildren",
      (select count(*) from run where finished_at is not null and (
        exists (select 1 from instruction where run_id = run.run_id)
        or exists (select 1 from reply where run_id = run.run_id)
        or exists (select 1 from run_object where run_id = run.run_id)
        or exists (select 1 from token where run_id = run.run_id)
      )) as "leftOfFinishedRuns"
  `.execute(query);
  return rows[0];
}

async function deadlocks(query: Kysely<StateTables>): Promise<bigint> {
  const { rows } = await sql<{ deadlocks: bigint }>`
    select deadlocks from pg_stat_database where datname = current_database()
  `.execute(query);
  return rows[0]?.deadlocks ?? 0n;
}
