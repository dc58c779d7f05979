import { ObjectUpload } from "../objects/object-upload.ts";
import { RunNotRunningError } from "../runtime/retry.ts";
import { pushObjects } from "../runtime/transfer.ts";
import { saysTheSame } from "../state/honest-replies.ts";
import { type NodeWork, textOf } from "./message-intake.ts";
import type { ReadyReply } from "./node-inbox.ts";

/** The SuperLink keeps the instruction, but not this reply to it. */
class ReplyRefusedError extends Error {
  override readonly name = "ReplyRefusedError";
}

/** Sends replies to the SuperLink; see {@link createReplyForwarding}. */
export interface ReplyForwarding {
  /**
   * Sends a reply and its objects to the SuperLink, and lets go of it.
   *
   * @returns whether its instruction is done with; otherwise an error reply is the next to be forwarded
   * @throws the signal's reason when it is aborted
   */
  forward(reply: ReadyReply): Promise<boolean>;
}

/**
 * Makes the {@link ReplyForwarding} of a node (contract 8.8). In place of a reply that the SuperLink refuses an error
 * reply is sent, code 4, which says why; Flower's node forgets it, and its ServerApp waits until the message expires.
 * Nothing more can be sent where the run has ended, the error reply is refused as well, or the SuperLink has the reply
 * and refuses its objects: that is logged, and the ServerApp's own limits end its wait.
 */
export function createReplyForwarding(work: NodeWork): ReplyForwarding {
  const { inbox, signal, onLog } = work;
  /** Instructions whose reply was refused and has been replaced. */
  const replaced = new Set<string>();

  async function done(instructionId: string): Promise<true> {
    replaced.delete(instructionId);
    await inbox.forwarded(instructionId);
    return true;
  }

  return {
    async forward(reply) {
      const { instructionId } = reply;
      const onFailure = (what: string, error: unknown) => {
        signal.throwIfAborted();
        const why = error instanceof RunNotRunningError ? "its run is not running" : textOf(error);
        onLog(`The SuperLink did not take ${what} message ${instructionId}: ${why}`);
      };
      let objectsToPush: readonly string[];
      try {
        objectsToPush = await announce(work, reply);
      } catch (error) {
        onFailure("the reply to", error);
        if (error instanceof RunNotRunningError || replaced.has(instructionId)) {
          return done(instructionId);
        }
        replaced.add(instructionId);
        const reason = `The SuperLink did not take the ClientApp's reply: ${textOf(error)}`;
        await inbox.fail(instructionId, "replyMessageUnavailable", reason);
        return false;
      }
      try {
        await push(work, reply, objectsToPush);
      } catch (error) {
        onFailure("all objects of the reply to", error);
      }
      return done(instructionId);
    },
  };
}

/** Announces a reply. @returns ids of the objects to push */
async function announce(
  { fleet, inbox, nodeId }: NodeWork,
  { message, tree, runId, processingSeconds }: ReadyReply,
): Promise<readonly string[]> {
  const { messageId = "" } = message.metadata ?? {};
  const root = await inbox.replyObject(runId, messageId);
  // Found out later, when the reply is announced, nothing could take its place.
  if (root?.content === undefined || !saysTheSame(message, root.content)) {
    throw new ReplyRefusedError("its object does not say what it was announced with");
  }
  const { objectsToPush, results } = await fleet.call((options) =>
    fleet.client.pushMessages(
      {
        node: { nodeId },
        messagesList: [message],
        messageObjectTrees: [tree],
        clientappRuntimeList: [processingSeconds],
      },
      options,
    ),
  );
  if (!Object.hasOwn(results, messageId)) {
    throw new ReplyRefusedError(
      "the instruction has expired, does not live that long, or has another answer",
    );
  }
  return objectsToPush;
}

async function push(
  { fleet, inbox, nodeId, signal }: NodeWork,
  { runId }: ReadyReply,
  objectsToPush: readonly string[],
): Promise<void> {
  await pushObjects(
    objectsToPush.map((objectId) => [objectId, undefined]),
    async (objectId, _, ending) => {
      // Read when its turn has come, so that no more are in memory than are under way.
      const content = (await inbox.replyObject(runId, objectId))?.content;
      if (content === undefined) {
        return false;
      }
      const request = new ObjectUpload({ node: { nodeId }, runId, objectId, pieces: [content] });
      const { stored } = await fleet.call((options) =>
        fleet.client.pushObject(request, { ...options, signal: ending }),
      );
      return stored;
    },
    { signal },
  );
}
