import { Code, ConnectError } from "@connectrpc/connect";
import type { Message, Metadata, ObjectTree } from "../../../gen/flwr/proto/message_pb.ts";
import { superLinkNodeId } from "../objects/super-link-node-id.ts";
import { assertWithin, callLimits } from "./call-limits.ts";

/** A message that has passed the rules, and the tree of its objects. */
export interface CheckedMessage {
  readonly message: Message;
  readonly metadata: Metadata;
  readonly tree: ObjectTree;
}

/** Messages are younger than this instant, 2025-02-28, in seconds since the epoch; Flower's limit. */
const earliestCreatedAt = 1_740_700_800;

const baseTypes = "train|evaluate|query|system";

/** Flower's message types: a base type, perhaps with one Python identifier, or a legacy name. */
const messageType = new RegExp(
  `^(?:(?:${baseTypes})(?:\\.[\\p{XID_Start}_]\\p{XID_Continue}*)?|get_parameters|get_properties|reconnect)$`,
  "u",
);

/**
 * Checks the messages that a ServerApp pushes (contract section 5.3); what is
 * below the roots of their trees is for `readTrees`.
 *
 * @throws ConnectError InvalidArgument `Malformed PushMessages: <what is wrong>`,
 * or when there are too many messages.
 */
export function checkInstructions(
  runId: bigint,
  messages: readonly Message[],
  trees: readonly ObjectTree[],
  nowMs: number,
): CheckedMessage[] {
  if (messages.length === 0) {
    throw malformed("there are no messages");
  }
  assertWithin("messages_list", messages.length, callLimits.messages);
  if (messages.length !== trees.length) {
    throw malformed("there must be one object tree for each message");
  }
  return messages.map((message, index) =>
    checkMessage(message, trees[index], (metadata) => [
      ...commonFaults(metadata, nowMs),
      ...(metadata.srcNodeId === superLinkNodeId ? [] : ["`src_node_id` is not the SuperLink's"]),
      ...(metadata.dstNodeId > superLinkNodeId ? [] : ["`dst_node_id` is not a SuperNode's"]),
      ...(metadata.replyToMessageId === "" ? [] : ["`reply_to_message_id` is set"]),
      ...(metadata.runId === runId ? [] : ["`run_id` is another run's"]),
    ]),
  );
}

/**
 * Checks a message that a SuperNode pushes: the mirror image of
 * {@link checkInstructions}, with the same error.
 */
export function checkReply(
  message: Message,
  tree: ObjectTree | undefined,
  nowMs: number,
): CheckedMessage {
  return checkMessage(message, tree, (metadata) => [
    ...commonFaults(metadata, nowMs),
    ...(metadata.srcNodeId > superLinkNodeId ? [] : ["`src_node_id` is not a SuperNode's"]),
    ...(metadata.dstNodeId === superLinkNodeId ? [] : ["`dst_node_id` is not the SuperLink's"]),
    ...(metadata.replyToMessageId !== "" ? [] : ["`reply_to_message_id` is not set"]),
  ]);
}

function checkMessage(
  message: Message,
  tree: ObjectTree | undefined,
  faultsOf: (metadata: Metadata) => string[],
): CheckedMessage {
  const { metadata } = message;
  if (metadata === undefined || tree === undefined) {
    throw malformed(`the ${metadata === undefined ? "metadata" : "object tree"} is missing`);
  }
  if ((message.content === undefined) === (message.error === undefined)) {
    throw malformed("exactly one of `content` and `error` must be set");
  }
  const faults = [...faultsOf(metadata), ...treeFaults(metadata, tree)];
  if (faults.length > 0) {
    throw malformed(faults.join(", "));
  }
  return { message, metadata, tree };
}

// The comparisons are written so that NaN is a fault as well.
function commonFaults(metadata: Metadata, nowMs: number): string[] {
  const { createdAt, ttl } = metadata;
  return [
    ...(messageType.test(metadata.messageType) ? [] : ["`message_type` is unknown"]),
    ...(metadata.messageId !== "" ? [] : ["`message_id` is not set"]),
    ...(createdAt >= earliestCreatedAt ? [] : ["`created_at` is too early"]),
    ...(ttl > 0 ? [] : ["`ttl` must be greater than 0"]),
    ...(createdAt + ttl > nowMs / 1000 ? [] : ["the message has expired"]),
  ];
}

function treeFaults({ messageId }: Metadata, tree: ObjectTree): string[] {
  // Receivers find the tree by the message's id: any other root is never delivered.
  return tree.objectId === messageId ? [] : ["the object tree is not the message's"];
}

/** Makes the error that says what is wrong with pushed messages. */
export function malformed(detail: string): ConnectError {
  return new ConnectError(`Malformed PushMessages: ${detail}`, Code.InvalidArgument);
}
