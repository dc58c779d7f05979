import { create } from "@bufbuild/protobuf";
import { sql } from "kysely";
import { FabSchema } from "../../../gen/flwr/proto/fab_pb.ts";
import { ContextSchema } from "../../../gen/flwr/proto/message_pb.ts";
import { RunSchema } from "../../../gen/flwr/proto/run_pb.ts";
import { ConfigRecord } from "../../../src/appio/objects/config-record.ts";
import { contentsOf, deflate, treeOf } from "../../../src/appio/objects/deflate.ts";
import { Message } from "../../../src/appio/objects/message.ts";
import { RecordDict } from "../../../src/appio/objects/record-dict.ts";
import type { NodeCaller } from "../../../src/appio/supernode/node-caller.ts";
import { createNodeState, type NodeStateOptions } from "../../../src/appio/supernode/node-state.ts";
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
export async function testNode(options: Pick<NodeStateOptions, "maxBundleBytes"> = {}) {
  let nowMs = Date.now();
  const now = () => nowMs;
  const database = await openSqlite({ path: ":memory:" });
  const authority = await createAuthority({ database, now });
  const { inbox, apps, runs } = await createNodeState({ ...options, database, authority, now });
  const bundle = { hashStr: "f".repeat(64), content: new TextEncoder().encode("bundle") };

  async function addRun(runId: bigint, { hashStr, content } = bundle): Promise<void> {
    const fabHash = hashStr;
    await runs.add({
      run: create(RunSchema, {
        ...{ runId, fabHash, runType: "serverapp", fabId: "app" },
        overrideConfig: { key: { scalar: { case: "string", value: "private" } } },
        status: { status: "running", details: "private" },
      }),
      fab: create(FabSchema, { hashStr, content }),
      context: create(ContextSchema, { runId, nodeId: thisNode, state: {} }),
    });
  }

  /** Puts an instruction of the run where its ClientApps see it. */
  async function deliver(runId: bigint, fab = bundle) {
    const asked = instruction(runId);
    await addRun(runId, fab);
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

  /** Answers an instruction and forwards the reply. */
  async function settle(asked: ReturnType<typeof instruction>): Promise<void> {
    const { caller } = await claim(asked.asMessage.metadata.runId);
    await apps.takeMessage(caller);
    await answer(caller, replyTo(asked));
    await apps.finish(caller, create(ContextSchema, { state: {} }));
    await inbox.forwarded(asked.id);
  }

  /** How many rows each table has. */
  async function counts(): Promise<Record<string, bigint>> {
    const { query } = database.withTables<Record<string, Record<string, unknown>>>();
    const { rows: tables } = await sql<{ name: string }>`
      select name from sqlite_master where type = 'table' and name not like 'sqlite%'`.execute(
      query,
    );
    const found: Record<string, bigint> = {};
    for (const { name } of tables) {
      const { rows } = await sql<{
        count: bigint;
      }>`select count(*) as count from ${sql.table(name)}`.execute(query);
      found[name] = rows[0]?.count ?? -1n;
    }
    return found;
  }

  return {
    settle,
    counts,
    authority,
    inbox,
    apps,
    runs,
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
