import type { Transport } from "@connectrpc/connect";
import { expect, it } from "vitest";
import { openGrpc } from "../../src/appio/grpc-connection.ts";
import { contentsOf } from "../../src/appio/objects/deflate.ts";
import { Message } from "../../src/appio/objects/message.ts";
import { Grid } from "../../src/appio/runtime/grid.ts";
import { createRetry } from "../../src/appio/runtime/retry.ts";
import { connectToFleet } from "../../src/appio/supernode/fleet-link.ts";
import { inProcess } from "../../src/client/located-transport.ts";
import { openAnswerLosingProxy } from "./answer-losing-proxy.ts";
import { newKey } from "./credentials/keys.ts";
import { createDrafts, settings } from "./state/drafts.ts";
import { createSuperLinkWorld } from "./superlink/world.ts";

/** Loses the answer to the first call of a method. */
function losing(transport: Transport, method: string, lose: () => void): Transport {
  let isFirst = true;
  return {
    stream: transport.stream.bind(transport),
    unary(called, ...call) {
      if (called.name === method && isFirst) {
        isFirst = false;
        lose();
      }
      return transport.unary(called, ...call);
    },
  };
}

const noWait = { sleep: async () => {} };

it.each([
  "GetNodes",
  "PushMessages",
  "PushObject",
  "PullMessages",
  "PullObject",
  "ConfirmMessageReceived",
])(
  "a Grid loses nothing, and nothing is done twice, when an answer to %s is lost",
  async (method) => {
    await using world = await createSuperLinkWorld();
    await using proxy = await openAnswerLosingProxy(world.link.serverAppIoUrl);
    const { runId, token, app } = await world.runningRun();
    const { nodeId, fleet } = await world.onlineNode();
    const { run } = await app.getRun({ runId });
    const connection = openGrpc(proxy.url);
    const grid = new Grid({
      transport: inProcess(losing(connection.transport, method, proxy.loseNextAnswer)),
      token,
      run: run ?? expect.fail("the run is there"),
      retry: createRetry(noWait),
      now: world.clock.now,
    });
    expect(await grid.getNodeIds()).toEqual([nodeId]);
    const asked = new Message({
      ...{ dstNodeId: nodeId, messageType: "train", content: settings({ lr: 0.1 }) },
      now: world.clock.now,
    });
    const [messageId = ""] = await grid.pushMessages([asked]);

    const [instruction] = (await fleet.pullMessages({})).messagesList;
    expect(instruction?.metadata?.messageId).toBe(messageId);
    expect((await fleet.pullMessages({})).messagesList, "delivered once").toEqual([]);
    if (instruction === undefined) {
      return expect.fail("the message is there");
    }
    const reply = createDrafts(world.clock.now).reply({ id: messageId, message: instruction });
    await fleet.pushMessages({ messagesList: [reply.message], messageObjectTrees: [reply.tree] });
    for (const [objectId, objectContent] of contentsOf(reply.object)) {
      expect((await fleet.pushObject({ runId, objectId, objectContent })).stored).toBe(true);
    }

    const replies = await grid.pullMessages([messageId]);
    expect(replies.map(({ metadata }) => metadata.messageId)).toEqual([reply.id]);
    expect(proxy.lost()).toBe(1);
    const left = await app.pullObject({ node: { nodeId: 1n }, objectId: reply.id });
    expect(left.objectFound, "confirmed").toBe(false);
    connection.close();
  },
);

it("a node's reply is stored once when the answer to PushMessages is lost", async () => {
  await using world = await createSuperLinkWorld();
  await using proxy = await openAnswerLosingProxy(world.link.fleetUrl);
  const { runId, app } = await world.runningRun();
  const privateKey = newKey();
  const { signal } = new AbortController();
  const { now } = world.clock;
  const link = connectToFleet({ fleet: proxy.url, privateKey, now, signal, retry: noWait });
  await link.client.registerNode({});
  const { nodeId } = await link.client.activateNode({ heartbeatInterval: 1800 });
  const drafts = createDrafts(now);
  const instruction = drafts.instruction(runId, nodeId);
  await world.state.instructions.push(runId, [instruction.message], [instruction.tree]);
  await link.client.pullMessages({});
  const reply = drafts.reply(instruction);
  proxy.loseNextAnswer();
  const { results, objectsToPush } = await link.call((options) =>
    link.client.pushMessages(
      {
        ...{ messagesList: [reply.message], messageObjectTrees: [reply.tree] },
        clientappRuntimeList: [2],
      },
      options,
    ),
  );
  expect(proxy.lost()).toBe(1);
  expect(results).toEqual({ [reply.id]: 0 });
  expect(objectsToPush).toContain(reply.id);
  expect((await world.state.runs.find(runId))?.clientappRuntime, "counted once").toBe(2);
  const { messagesList } = await app.pullMessages({ messageIds: [instruction.id] });
  expect(messagesList).toEqual([reply.message]);
  link.close();
});
