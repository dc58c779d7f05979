import { createPrivateKey } from "node:crypto";
import { EventEmitter, once } from "node:events";
import { setTimeout as delay } from "node:timers/promises";
import { openPlace, type Place } from "../../place.ts";
import { createSelectThenUpdate } from "./select-then-update.ts";
import { createSuperLinkReplica } from "./superlink-replica.ts";

/** A call that replicas make at the same instant. */
export type Contested =
  /** PullAppInputs with a run's token: case 67. */
  | { readonly kind: "pullAppInputs"; readonly runId: bigint; readonly token: string }
  /** Fleet's PullMessages of one node: case 68. */
  | { readonly kind: "takeInstruction"; readonly nodeId: bigint }
  /** ServerAppIo's PullMessages for one instruction: case 68. */
  | {
      readonly kind: "pullReply";
      readonly runId: bigint;
      readonly token: string;
      readonly instructionId: string;
    }
  /** ConfirmMessageReceived for a reply. */
  | {
      readonly kind: "confirm";
      readonly runId: bigint;
      readonly token: string;
      readonly messageId: string;
    };

/**
 * What came of it: the ids of the messages that were handed out; `ok` for what
 * hands out none; or the name of the code of the refusal.
 */
export type Outcome = readonly string[] | string;

/** What the race tells a replica. */
export type Told = { readonly call: Contested; readonly at: number } | { readonly goOn: true };

/** What a replica answers. A call that looks first and writes later pauses in between. */
export type Heard = "ready" | "paused" | { readonly outcome: Outcome };

/** What plays a replica's part. */
export interface Replica {
  call(contested: Contested): Promise<Outcome>;
}

/** How a replica is started, as its one argument in JSON. */
export interface ReplicaOptions {
  readonly way: "superlink" | "select-then-update";
  readonly place: Place;
  /** The private key of the node, as PEM. */
  readonly nodeKey: string;
}

const { way, place, nodeKey }: ReplicaOptions = JSON.parse(process.argv[2] ?? "");
const race = new EventEmitter();
const database = await openPlace(place);
const replica =
  way === "superlink"
    ? await createSuperLinkReplica(database, createPrivateKey(nodeKey))
    : await createSelectThenUpdate(database, async () => {
        const released = once(race, "goOn");
        send("paused");
        await released;
      });

process.on("message", async (message: Told) => {
  if ("goOn" in message) {
    race.emit("goOn");
    return;
  }
  await isDue(message.at);
  send({ outcome: await replica.call(message.call) });
});
send("ready");

/** Waits until an instant, and spins the last two milliseconds: timers are late by about one. */
async function isDue(at: number): Promise<void> {
  const clock = () => performance.timeOrigin + performance.now();
  await delay(Math.max(0, at - clock() - 2));
  while (clock() < at);
}

function send(message: Heard): void {
  process.send?.(message);
}
