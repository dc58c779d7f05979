import { createHash } from "node:crypto";
import type { Metadata } from "../../../gen/flwr/proto/message_pb.ts";
import { contentOf, deflate, treeOf } from "../objects/deflate.ts";
import { Message } from "../objects/message.ts";
import { messageErrorCodes } from "../objects/message-error.ts";
import { superLinkNodeId } from "../objects/super-link-node-id.ts";
import type { StoredMessage } from "./stored-message.ts";

const reasons = {
  messageUnavailable:
    "The message is unknown: it has expired, its reply was confirmed, or it was never sent.",
  replyMessageUnavailable: "The reply has expired.",
  nodeUnavailable: "The node is not available.",
} as const;

/** Why no node's reply will come; a name in `messageErrorCodes`. */
export type ErrorReplyCause = keyof typeof reasons;

/** A reply that the SuperLink makes, and the bytes of the object that it is. */
export interface ErrorReply extends StoredMessage {
  readonly messageId: string;
  readonly content: Uint8Array;
  /** `created_at + ttl`, in seconds since the epoch. */
  readonly expiresAt: number;
}

/**
 * Makes the reply that stands for a node's.
 *
 * @param instruction Metadata of the instruction, which the reply takes over,
 * unless the message is unavailable: such replies name no run, as Flower's do.
 */
export function makeErrorReply(
  cause: ErrorReplyCause,
  instructionId: string,
  instruction: Metadata | undefined,
  nowMs: number,
): ErrorReply {
  const createdAtSeconds = nowMs / 1000;
  const named = cause === "messageUnavailable" ? undefined : instruction;
  const remaining = named === undefined ? 0 : named.createdAt + named.ttl - createdAtSeconds;
  const metadata = {
    runId: named?.runId ?? 0n,
    messageId: "",
    srcNodeId: superLinkNodeId,
    dstNodeId: superLinkNodeId,
    replyToMessageId: instructionId,
    groupId: named?.groupId ?? "",
    ttlSeconds: Math.max(0, remaining),
    messageType: named?.messageType ?? "system",
    createdAtSeconds,
  };
  const error = { code: messageErrorCodes[cause], reason: reasons[cause] };
  const message = new Message(metadata, { error });
  const object = deflate(message, { createSha256: () => createHash("sha256") });
  return {
    messageId: object.id,
    content: contentOf(object),
    expiresAt: createdAtSeconds + metadata.ttlSeconds,
    message: message.withMetadata({ messageId: object.id }).toProto(),
    tree: treeOf(object),
  };
}
