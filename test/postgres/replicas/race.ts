import type { KeyObject } from "node:crypto";
import { createLinkState } from "../../../src/appio/state/link-state.ts";
import { createAuthority } from "../../../src/authority/authority.ts";
import { newKey, pemOf } from "../../appio/credentials/keys.ts";
import { createDrafts } from "../../appio/state/drafts.ts";
import { type Child, forkChild } from "../../authority/child.ts";
import { openPlace } from "../../place.ts";
import { createSharedPlace } from "../../store.ts";
import type { Contested, Heard, Outcome, ReplicaOptions, Told } from "./replica.ts";

type ReplicaProcess = Child<Told, Heard>;

/** How far ahead the instant is at which replicas are released together, in milliseconds. */
const leadMs = 15;

/** Two replicas on one database, each a process, and the state to prepare and check with. */
export async function startRace(way: ReplicaOptions["way"]) {
  const place = await createSharedPlace();
  const database = await openPlace(place);
  // An hour: however long the race takes, its runs outlive it.
  const authority = await createAuthority({ database, firstTtlMs: 3_600_000 });
  const state = await createLinkState({ database, authority });
  const key = newKey();
  const publicKey = Buffer.from(pemOf(key));
  const nodeId = await state.nodes.register(publicKey);
  await state.nodes.activate(publicKey, 1800);
  const options: ReplicaOptions = { way, place, nodeKey: privatePem(key) };
  const file = new URL("replica.ts", import.meta.url);
  const replicas = [1, 2].map(() => forkChild<Told, Heard>(file, JSON.stringify(options)));
  for (const replica of replicas) {
    await expectReady(replica);
  }
  const race = {
    ...{ state, nodeId, replicas },
    ...createDrafts(Date.now),
    async startingRun() {
      const [runId = 0n] = await state.runs.create({ fab: new Uint8Array([1]) });
      return { runId, token: (await state.runs.claim(runId)) ?? "" };
    },
    async runningRun() {
      const run = await race.startingRun();
      await state.inputs.start(run.runId);
      return run;
    },
    /** Lets both replicas make a call at the same instant. Pauses end when both have come to theirs. */
    async both(call: Contested): Promise<readonly Outcome[]> {
      const at = performance.timeOrigin + performance.now() + leadMs;
      for (const replica of replicas) {
        replica.tell({ call, at });
      }
      let heard = await Promise.all(replicas.map((replica) => replica.hear()));
      if (heard.includes("paused")) {
        for (const replica of replicas) {
          replica.tell({ goOn: true });
        }
        heard = await Promise.all(replicas.map((replica) => replica.hear()));
      }
      return heard.map(outcomeOf);
    },
    async close() {
      await Promise.all(replicas.map((replica) => replica.kill()));
      await database.close();
    },
  };
  return race;
}

function privatePem(key: KeyObject): string {
  return key.export({ type: "pkcs8", format: "pem" }).toString();
}

async function expectReady(replica: ReplicaProcess): Promise<void> {
  const heard = await replica.hear();
  if (heard !== "ready") {
    throw new Error("the replica is not ready");
  }
}

function outcomeOf(heard: Heard): Outcome {
  if (typeof heard === "string") {
    throw new Error(`a replica says it is ${heard} instead of what came of its call`);
  }
  return heard.outcome;
}
