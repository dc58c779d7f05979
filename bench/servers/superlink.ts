import { join } from "node:path";
import { contentsOf, deflate, treeOf } from "../../src/appio/objects/deflate.ts";
import { Message, metadataFromProto } from "../../src/appio/objects/message.ts";
import type { LinkState } from "../../src/appio/state/link-state.ts";
import { startSuperLink } from "../../src/appio/superlink/superlink.ts";
import { parseToken } from "../../src/policy/token.ts";
import { nodeIds } from "./answers.ts";
import { smallRecords } from "./small-records.ts";

/** A SuperLink of ours, on a SQLite file, that does what it is told between measurements. */
export interface MeasuredSuperLink {
  readonly port: number;
  /** `run` starts a run and returns its id and token; `answer ID` answers its instructions, as its nodes would. */
  obey(command: string): Promise<object>;
}

/** The longest interval of heartbeats that nodes may have, in seconds. */
const heartbeatIntervalSeconds = 1_800;

/** Starts a SuperLink with as many nodes as the other servers name. */
export async function startMeasuredSuperLink(directory: string): Promise<MeasuredSuperLink> {
  const { state, serverAppIoUrl } = await startSuperLink({
    databasePath: join(directory, "state.sqlite"),
    operatorToken: parseToken("operator-of-the-benchmark"),
    ...{ serverAppIoPort: 0, fleetPort: 0, controlPort: 0 },
  });
  const nodes: bigint[] = [];
  for (const id of nodeIds) {
    const publicKey = Buffer.from(`key of node ${id}`);
    await state.nodes.register(publicKey);
    nodes.push(await state.nodes.activate(publicKey, heartbeatIntervalSeconds));
  }
  return {
    port: Number(new URL(serverAppIoUrl).port),
    obey(command) {
      const [verb, id = ""] = command.split(" ");
      if (verb === "run") return startRun(state);
      if (verb === "answer") return answerAll(state, nodes, BigInt(id));
      throw new Error(`a SuperLink does not know what to ${verb}`);
    },
  };
}

async function startRun({ runs, inputs }: LinkState): Promise<object> {
  const [runId = 0n] = await runs.create({ fab: Buffer.from("an app bundle") });
  const token = await runs.claim(runId);
  await inputs.start(runId);
  return { runId: String(runId), token };
}

async function answerAll(
  { instructions, replies, objects }: LinkState,
  nodes: readonly bigint[],
  runId: bigint,
): Promise<object> {
  let answered = 0;
  for (const nodeId of nodes) {
    for (;;) {
      const taken = await instructions.take(nodeId);
      if (taken === undefined) break;
      const instruction = new Message(metadataFromProto(taken.message.metadata), {
        content: smallRecords(0),
      });
      const reply = instruction.reply(smallRecords(answered));
      const deflated = deflate(reply);
      const message = reply.withMetadata({ messageId: deflated.id }).toProto();
      await replies.push(message, treeOf(deflated), 1);
      for (const [objectId, content] of contentsOf(deflated)) {
        await objects.put(runId, objectId, content);
      }
      answered += 1;
    }
  }
  return { answered };
}
