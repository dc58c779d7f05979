import type { Message as MessageProto } from "../../../gen/flwr/proto/message_pb.ts";
import { contentOf, deflate } from "../objects/deflate.ts";
import { Message, metadataFromProto } from "../objects/message.ts";
import { messageErrorCodes } from "../objects/message-error.ts";
import { RecordDict } from "../objects/record-dict.ts";

/** What a node answers when no ClientApp does, by the names of `messageErrorCodes`. */
export type NodeErrorCode =
  | "messageUnavailable"
  | "replyMessageUnavailable"
  | "invalidFab"
  | "clientAppCrashed";

/** The reason of an error reply whose ClientApp went away (Flower: NodeState's expiry hook). */
export const stoppedResponding = "ClientApp stopped responding.";

/** An error reply, and the object it is. */
export interface ErrorReply {
  /** The object's id, and the message's. */
  readonly id: string;
  readonly message: MessageProto;
  /** The object, which has no children. */
  readonly content: Uint8Array;
}

/**
 * Makes the error reply to an instruction: source and destination swapped, living as long as the instruction would.
 *
 * @param now milliseconds since the epoch
 */
export function makeErrorReply(
  instruction: MessageProto,
  code: NodeErrorCode,
  reason: string,
  now: () => number,
): ErrorReply {
  // What the instruction carries does not matter to its reply.
  const asked = new Message(metadataFromProto(instruction.metadata), { content: new RecordDict() });
  const reply = asked.replyWithError({ code: messageErrorCodes[code], reason }, { now });
  const deflated = deflate(reply);
  return {
    id: deflated.id,
    message: reply.withMetadata({ messageId: deflated.id }).toProto(),
    content: contentOf(deflated),
  };
}
