import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, test } from "vitest";
import {
  packDeflated,
  unpackMessage,
} from "../../../../src/appio/launch/simulation/message-packet.ts";
import { createVirtualNodes } from "../../../../src/appio/launch/simulation/virtual-nodes.ts";
import {
  startWorkerThread,
  WorkerEndedError,
} from "../../../../src/appio/launch/simulation/worker-thread.ts";
import { deflate } from "../../../../src/appio/objects/deflate.ts";
import { Message } from "../../../../src/appio/objects/message.ts";
import { RecordDict } from "../../../../src/appio/objects/record-dict.ts";
import { fixture } from "./threads.ts";

setFlagsFromString("--expose-gc");
const collectGarbage: () => void = runInNewContext("gc");

/** A message for a node, as a grid gives it to a thread. */
function newTask(messageType = "query") {
  const [node] = createVirtualNodes(7n, 1, {}).values();
  const { context = new Uint8Array(), nodeId = 0n } = node ?? {};
  const message = new Message({ content: new RecordDict(), messageType, dstNodeId: nodeId });
  return { nodeName: "node 0", packet: packDeflated(deflate(message)), context };
}

test("the packet goes over to the thread, the context is copied, and an answer is not kept", async () => {
  const thread = startWorkerThread({ clientAppUrl: fixture("client-app") });
  const task = newTask();
  // In a function of its own, whose variables go with it.
  const ask = async (each = newTask()) => {
    const { packet } = await thread.answer(each);
    expect(unpackMessage(packet).hasContent()).toBe(true);
    return new WeakRef(packet.buffer);
  };
  const buffers = [await ask(task), await ask()];
  expect(task.packet.buffer.detached).toBe(true);
  expect(task.context.byteLength).toBeGreaterThan(0);
  // Answers carry models: a thread that kept them would take up all memory in a few rounds.
  const kept = () => {
    collectGarbage();
    return buffers.filter((buffer) => buffer.deref() !== undefined).length;
  };
  await expect.poll(kept, { timeout: 20_000 }).toBe(0);
  await thread.stop();
});

test("a thread that has ended answers nothing any more, and can be stopped again", async () => {
  const thread = startWorkerThread({ clientAppUrl: fixture("client-app") });
  const exitCode = "The ClientApp's thread exited with code 7.";
  await expect(thread.answer(newTask("query.exit"))).rejects.toThrow(
    new WorkerEndedError(exitCode),
  );
  await thread.ended;
  await expect(thread.answer(newTask())).rejects.toThrow(new WorkerEndedError(exitCode));
  await thread.stop();
});
