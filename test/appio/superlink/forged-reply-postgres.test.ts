import { clone } from "@bufbuild/protobuf";
import { sql } from "kysely";
import { expect, it } from "vitest";
import { MessageSchema } from "../../../gen/flwr/proto/message_pb.ts";
import { contentsOf } from "../../../src/appio/objects/deflate.ts";
import { objectTree } from "../../../src/appio/objects/object-tree.ts";
import type { StateTransaction } from "../../../src/appio/state/core.ts";
import type { StateTables } from "../../../src/appio/state/tables.ts";
import { createStore } from "../../store.ts";
import { createDrafts } from "../state/drafts.ts";
import { createSuperLinkWorld } from "./world.ts";

/** Waits until so many sessions wait for a transaction, or for one that waits for it. */
async function waiting(tx: StateTransaction, sessions: number): Promise<void> {
  for (let found = 0; found < sessions; ) {
    const { rows } = await sql`
      with recursive waiting (pid) as (
        select pg_backend_pid()
        union
        select l.pid from pg_locks l, waiting w
        where not l.granted and w.pid = any (pg_blocking_pids(l.pid))
      )
      select pid from waiting
    `.execute(tx.query);
    found = rows.length - 1;
  }
}

it("a reply whose object names another sender is not taken when its bytes come just before its announcement", async () => {
  const store = createStore();
  const other = (await store.open()).withTables<StateTables>();
  await using world = await createSuperLinkWorld({ database: await store.open() });
  const drafts = createDrafts(world.clock.now);
  const { runId } = await world.runningRun();
  const { nodeId, fleet } = await world.onlineNode();
  const { nodeId: victim } = await world.onlineNode();

  async function received() {
    const draft = drafts.instruction(runId, nodeId);
    await world.state.instructions.push(runId, [draft.message], [draft.tree]);
    await fleet.pullMessages({});
    return draft;
  }

  /** Pushes the object of a forged reply and announces the reply, both while nothing can be changed. */
  async function forge() {
    const instruction = await received();
    const asked = clone(MessageSchema, instruction.message);
    Object.assign(asked.metadata ?? {}, { dstNodeId: victim });
    const forged = drafts.reply({ id: instruction.id, message: asked });
    const message = clone(MessageSchema, forged.message);
    Object.assign(message.metadata ?? {}, { srcNodeId: nodeId });
    // As the child of another reply the object is announced before it is a reply itself.
    const carrier = drafts.reply(await received());
    const children = [...carrier.tree.children, objectTree(forged.id)];
    await fleet.pushMessages({
      messagesList: [carrier.message],
      messageObjectTrees: [{ ...carrier.tree, children }],
    });
    const objectContent = new Map(contentsOf(forged.object)).get(forged.id) ?? new Uint8Array();
    return other.transaction(async (tx) => {
      // Every change looks at the tokens first. The bytes pass all that comes before it, then the announcement does.
      await sql`lock table token in access exclusive mode`.execute(tx.query);
      const pushing = fleet.pushObject({ runId, objectId: forged.id, objectContent });
      await waiting(tx, 1);
      const announcing = fleet.pushMessages({
        messagesList: [message],
        messageObjectTrees: [forged.tree],
      });
      await waiting(tx, 2);
      return [pushing, announcing];
    });
  }

  // Which of the two goes on first is PostgreSQL's decision: not always the one that shows a fault.
  for (let race = 1; race <= 3; race += 1) {
    const outcomes = await Promise.allSettled(await forge());
    const [refused, ...others] = outcomes.filter(({ status }) => status === "rejected");
    expect(others).toEqual([]);
    expect(refused).toMatchObject({ reason: { rawMessage: "The message names another sender." } });
  }
  await other.close();
});
