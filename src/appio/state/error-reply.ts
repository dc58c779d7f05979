import { createHash } from "node:crypto";
import { create, toBinary } from "@bufbuild/protobuf";
import {
  MessageSchema,
  type Metadata,
  MetadataSchema,
  ObjectTreeSchema,
} from "../../../gen/flwr/proto/message_pb.ts";
import { joinPieces } from "../objects/bytes.ts";
import { objectIdOf } from "../objects/object-id.ts";
import { encodeHead } from "../objects/structure.ts";
import { superLinkNodeId } from "./random-id.ts";
import type { StoredMessage } from "./stored-message.ts";

/** Why no node's reply will come: Flower's error codes, with the sentences that explain them. */
export const errorReasons = {
  3: "The message is unknown: it has expired, was answered and confirmed, or was never sent.",
  4: "The reply has expired.",
  5: "The node is not available.",
} as const;

/** One of the codes of {@link errorReasons}. */
export type ErrorReplyCode = keyof typeof errorReasons;

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
 * @param instruction Metadata of the instruction, copied into replies of code 4
 * and 5; those of code 3 name no run, as Flower's do.
 */
export function makeErrorReply(
  code: ErrorReplyCode,
  instructionId: string,
  instruction: Metadata | undefined,
  nowMs: number,
): ErrorReply {
  const createdAt = nowMs / 1000;
  const copied =
    code === 3 || instruction === undefined
      ? { messageType: "system" }
      : {
          runId: instruction.runId,
          messageType: instruction.messageType,
          groupId: instruction.groupId,
          ttl: Math.max(0, instruction.createdAt + instruction.ttl - createdAt),
        };
  const metadata = create(MetadataSchema, {
    ...copied,
    srcNodeId: superLinkNodeId,
    dstNodeId: superLinkNodeId,
    replyToMessageId: instructionId,
    createdAt,
  });
  const error = { code: BigInt(code), reason: errorReasons[code] };
  // The id is blank in the bytes that it is the hash of.
  const body = toBinary(MessageSchema, create(MessageSchema, { metadata, error }));
  const content = joinPieces([encodeHead("Message", [], body.length), body]);
  const messageId = objectIdOf(content, () => createHash("sha256"));
  return {
    messageId,
    content,
    expiresAt: createdAt + metadata.ttl,
    message: create(MessageSchema, { metadata: { ...metadata, messageId }, error }),
    tree: create(ObjectTreeSchema, { objectId: messageId }),
  };
}
