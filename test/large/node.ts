import { createHash } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { assertSigningKey, generatePrivateKey } from "../../src/appio/credentials/private-key.ts";
import { deflate, treeOf } from "../../src/appio/objects/deflate.ts";
import { createObjectChannel } from "../../src/appio/runtime/object-channel.ts";
import { createRetry } from "../../src/appio/runtime/retry.ts";
import { connectToFleet } from "../../src/appio/supernode/fleet-link.ts";
import { digestOf } from "./record.ts";
import { peakBytes, readTask, tell } from "./step.ts";

// A node with its ClientApp in one: it pulls the record, and replies with what it has got.
const { address = "", runId = "" } = await readTask();
const privateKey = await generatePrivateKey();
const publicKey = new TextEncoder().encode(assertSigningKey(privateKey, '"privateKey"').pem);
const { signal } = new AbortController();
const fleet = connectToFleet({ fleet: address, privateKey, now: Date.now, signal });
const { client } = fleet;
await client.registerNode({ publicKey });
const { nodeId } = await client.activateNode({ publicKey, heartbeatInterval: 1_800 });
const before = peakBytes();
tell({ nodeId: String(nodeId) });

const node = { nodeId };
let pulled = await client.pullMessages({ node });
while (pulled.messageObjectTrees.length === 0) {
  await delay(50);
  pulled = await client.pullMessages({ node });
}
const createSha256 = () => createHash("sha256");
const objects = createObjectChannel({
  client,
  retry: createRetry(),
  runId: BigInt(runId),
  nodeId,
  createSha256,
});
const [tree] = pulled.messageObjectTrees;
if (tree === undefined) throw new Error("the message has no tree");
const message = await objects.pull(tree);
await objects.confirm(tree.objectId);
const afterPull = peakBytes();

const reply = message.reply(message.content);
const deflated = deflate(reply, { createSha256 });
const { objectsToPush } = await client.pushMessages({
  node,
  messagesList: [reply.withMetadata({ messageId: deflated.id }).toProto()],
  messageObjectTrees: [treeOf(deflated)],
});
await objects.push([deflated], objectsToPush);
tell({ digest: digestOf(message.content), before, afterPull, after: peakBytes() });
fleet.close();
