import { create } from "@bufbuild/protobuf";
import { FabSchema } from "../../../gen/flwr/proto/fab_pb.ts";
import { ContextSchema } from "../../../gen/flwr/proto/message_pb.ts";
import { RunSchema } from "../../../gen/flwr/proto/run_pb.ts";
import { ConfigRecord } from "../../../src/appio/objects/config-record.ts";
import { contentsOf, deflate, treeOf } from "../../../src/appio/objects/deflate.ts";
import { Message } from "../../../src/appio/objects/message.ts";
import { RecordDict } from "../../../src/appio/objects/record-dict.ts";
import type { NodeCaller } from "../../../src/appio/supernode/node-caller.ts";
import { createNodeState } from "../../../src/appio/supernode/node-state.ts";
import { createAuthority, openSqlite } from "../../../src/authority/index.ts";
import { digestToken, type Token } from "../../../src/policy/token.ts";

export const thisNode = 7n;

/** A message as it travels: without content, with its tree and its objects. */
export function deflated(message: Message) {
  const root = deflate(message);
  return {
    id: root.id,
    message: message.withMetadata({ messageId: root.id }).toProto(),
    tree: treeOf(root),
    objects: new Map(contentsOf(root)),
  };
}

let made = 0;

/** An instruction to this node; each one is another. */
export function instruction(runId: bigint) {
  made += 1;
  const content = new RecordDict({ config: new ConfigRecord({ made: BigInt(made) }) });
  const message = new Message({ content, messageType: "train", dstNodeId: thisNode });
  const addressed = message.withMetadata({ runId, srcNodeId: 1n });
  const sent = deflated(addressed);
  return { ...sent, asMessage: addressed.withMetadata({ messageId: sent.id }) };
}

/** A reply with content to an instruction. */
export function replyTo(asked: { readonly asMessage: Message }) {
  made += 1;
  return deflated(
    asked.asMessage.reply(new RecordDict({ answer: new ConfigRecord({ made: BigInt(made) }) })),
  );
}

/** A node's state with a clock that is turned by hand, as milliseconds. */
export async function testNode() {
  let nowMs = Date.now();
  const now = () => nowMs;
  const database = await openSqlite({ path: ":memory:" });
  const authority = await createAuthority({ database, now });
  const { inbox, apps } = await createNodeState({ database, authority, now });
  const content = new TextEncoder().encode("bundle");
  const fabHash = "f".repeat(64);

  async function addRun(runId: bigint): Promise<void> {
    await inbox.addRun({
      run: create(RunSchema, {
        ...{ runId, fabHash, runType: "serverapp", fabId: "app" },
        overrideConfig: { key: { scalar: { case: "string", value: "private" } } },
        status: { status: "running", details: "private" },
      }),
      fab: create(FabSchema, { hashStr: fabHash, content }),
      context: create(ContextSchema, { runId, nodeId: thisNode, state: {} }),
    });
  }

  /** Puts an instruction of the run where its ClientApps see it. */
  async function deliver(runId: bigint) {
    const asked = instruction(runId);
    await addRun(runId);
    for (const id of (await inbox.receive(asked)) ?? []) {
      await inbox.storeObject(runId, id, asked.objects.get(id) ?? new Uint8Array());
    }
    await inbox.arrived(asked.id);
    return asked;
  }

  async function claim(runId: bigint): Promise<{ token: Token; caller: NodeCaller }> {
    const token = await apps.claim(runId);
    if (token === undefined) {
      throw new Error(`run ${runId} was not claimed`);
    }
    return { token, caller: { runId, tokenDigest: digestToken(token) } };
  }

  /** Stores a reply with all of its objects. */
  async function answer(caller: NodeCaller, reply: ReturnType<typeof replyTo>): Promise<void> {
    for (const id of await apps.storeReply(caller, reply)) {
      await apps.putObject(caller, id, reply.objects.get(id) ?? new Uint8Array());
    }
  }

  return {
    authority,
    inbox,
    apps,
    addRun,
    deliver,
    claim,
    answer,
    pass: (ms: number) => {
      nowMs += ms;
    },
    emptyContext: create(ContextSchema, { state: {} }),
    close: () => database.close(),
    [Symbol.asyncDispose]: () => database.close(),
  };
}
