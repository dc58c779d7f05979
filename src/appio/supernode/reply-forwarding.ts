import { RunNotRunningError } from "../runtime/retry.ts";
import { pushObjects } from "../runtime/transfer.ts";
import { type NodeWork, textOf } from "./message-intake.ts";
import type { ReadyReply } from "./node-inbox.ts";

/** Contents come from the state when their turn comes, so that no more are in memory than are under way. */
const notLoaded = new Uint8Array();

/**
 * Sends a reply and its objects to the SuperLink, and lets go of it (contract 8.8). A reply that the SuperLink does not
 * take is let go of too: nothing that the node could send instead would be the app's answer.
 *
 * @throws the signal's reason when it is aborted
 */
export async function forwardReply(work: NodeWork, reply: ReadyReply): Promise<void> {
  const { inbox, signal, onLog } = work;
  try {
    await push(work, reply);
  } catch (error) {
    signal.throwIfAborted();
    const reason = error instanceof RunNotRunningError ? "its run is not running" : textOf(error);
    onLog(`The SuperLink did not take the reply to message ${reply.instructionId}: ${reason}`);
  }
  await inbox.forwarded(reply.instructionId);
}

async function push({ fleet, inbox, nodeId, signal }: NodeWork, reply: ReadyReply): Promise<void> {
  const { runId } = reply;
  const node = { nodeId };
  const { objectsToPush } = await fleet.call((options) =>
    fleet.client.pushMessages(
      {
        node,
        messagesList: [reply.message],
        messageObjectTrees: [reply.tree],
        clientappRuntimeList: [reply.processingSeconds],
      },
      options,
    ),
  );
  await pushObjects(
    objectsToPush.map((objectId) => [objectId, notLoaded]),
    async (objectId, _, ending) => {
      const objectContent = (await inbox.replyObject(runId, objectId))?.content;
      if (objectContent === undefined) {
        return false;
      }
      const { stored } = await fleet.call((options) =>
        fleet.client.pushObject(
          { node, runId, objectId, objectContent },
          { ...options, signal: ending },
        ),
      );
      return stored;
    },
    { signal },
  );
}
