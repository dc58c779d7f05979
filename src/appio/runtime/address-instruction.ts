import type { Message } from "../objects/message.ts";
import { superLinkNodeId } from "../objects/super-link-node-id.ts";

/**
 * Returns a message as a run's ServerApp sends it, its id still blank.
 *
 * @throws TypeError if it is a reply, or has no time to live.
 */
export function addressInstruction(message: Message, runId: bigint): Message {
  const { replyToMessageId, ttlSeconds } = message.metadata;
  if (replyToMessageId !== "") {
    throw new TypeError("a grid sends instructions, but one of the messages is a reply");
  }
  if (!(ttlSeconds > 0)) {
    throw new TypeError(`a message must have time to live, not ${ttlSeconds} seconds`);
  }
  return message.withMetadata({ runId, srcNodeId: superLinkNodeId, messageId: "" });
}
