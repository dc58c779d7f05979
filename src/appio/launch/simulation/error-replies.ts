import { deflate } from "../../objects/deflate.ts";
import { inflateMessage } from "../../objects/inflate.ts";
import type { Message } from "../../objects/message.ts";
import { messageErrorCodes } from "../../objects/message-error.ts";
import { makeErrorReply } from "../../state/error-reply.ts";

/** Stands for the reply of a node whose worker thread has ended. */
export function crashReply(message: Message, reason: string, now: () => number): Message {
  const error = { code: messageErrorCodes.clientAppCrashed, reason };
  const reply = message.replyWithError(error, { now });
  return reply.withMetadata({ messageId: deflate(reply).id });
}

/** Stands for a reply that will never come: the one that a SuperLink makes. */
export function unavailableReply(instructionId: string, nowMs: number): Message {
  const reply = makeErrorReply("messageUnavailable", instructionId, undefined, nowMs);
  return inflateMessage(reply.messageId, new Map([[reply.messageId, reply.content]]));
}
