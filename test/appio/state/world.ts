import { contentsOf } from "../../../src/appio/objects/deflate.ts";
import { createLinkState } from "../../../src/appio/state/link-state.ts";
import { createAuthority } from "../../../src/authority/authority.ts";
import type { Token } from "../../../src/policy/token.ts";
import { createStore } from "../../store.ts";
import { createDrafts, type Draft, type DraftOptions } from "./drafts.ts";

/** The instant at which the clocks of these tests start, in milliseconds since the epoch. */
export const startMs = Date.UTC(2026, 10, 23);

/**
 * A clock that stands until it is moved.
 *
 * @param beginMs - where it stands at first, in milliseconds since the epoch.
 */
export function createClock(beginMs = startMs) {
  let nowMs = beginMs;
  return {
    now: () => nowMs,
    advance(seconds: number) {
      nowMs += seconds * 1000;
    },
  };
}

/** A link state on a database of its own, and short ways to bring it where a test begins. */
export async function createWorld(store = createStore(), clock = createClock()) {
  const database = await store.open();
  const { now } = clock;
  const authority = await createAuthority({ database, now });
  const state = await createLinkState({ database, authority, now });

  const world = {
    ...{ database, authority, state, clock },
    ...createDrafts(now),
    async pendingRun(): Promise<bigint> {
      const [runId] = await state.runs.create({ fab: fabBytes });
      return runId ?? 0n;
    },
    async startingRun(): Promise<{ runId: bigint; token: Token }> {
      const runId = await world.pendingRun();
      const token = await state.runs.claim(runId);
      if (token === undefined) {
        throw new Error("the run could not be claimed");
      }
      return { runId, token };
    },
    async runningRun(): Promise<{ runId: bigint; token: Token }> {
      const run = await world.startingRun();
      await state.inputs.start(run.runId);
      return run;
    },
    /** Registers a node and brings it online for 2 * 1800 s. */
    async onlineNode(): Promise<bigint> {
      const publicKey = crypto.getRandomValues(new Uint8Array(32));
      const nodeId = await state.nodes.register(publicKey);
      return state.nodes.activate(publicKey, 1800).then(() => nodeId);
    },
    /** Pushes an instruction with all of its objects. */
    async send(runId: bigint, dstNodeId: bigint, options?: DraftOptions): Promise<Draft> {
      const draft = world.instruction(runId, dstNodeId, options);
      await state.instructions.push(runId, [draft.message], [draft.tree]);
      await world.upload(runId, draft);
      return draft;
    },
    /** Pushes the reply to an instruction with all of its objects. */
    async answer(runId: bigint, instruction: Draft, options?: DraftOptions): Promise<Draft> {
      const draft = world.reply(instruction, options);
      await state.replies.push(draft.message, draft.tree, 1);
      await world.upload(runId, draft);
      return draft;
    },
    async upload(runId: bigint, draft: Draft): Promise<void> {
      for (const [id, content] of contentsOf(draft.object)) {
        if (!(await state.objects.put(runId, id, content))) {
          throw new Error(`object ${id} was not stored`);
        }
      }
    },
    async [Symbol.asyncDispose]() {
      await database.close();
      store.reuse();
    },
  };
  return world;
}

/** An app bundle: opaque to the state. */
export const fabBytes = new TextEncoder().encode("an app bundle");
