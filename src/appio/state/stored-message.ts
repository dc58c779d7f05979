import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  type Message,
  MessageSchema,
  type Metadata,
  type ObjectTree,
  ObjectTreeSchema,
} from "../../../gen/flwr/proto/message_pb.ts";
import { RecordDictSchema } from "../../../gen/flwr/proto/recorddict_pb.ts";
import type { CheckedMessage } from "./message-rules.ts";

/** A message as it is handed out: without its content, and with the tree of the objects that make it up. */
export interface StoredMessage {
  readonly message: Message;
  readonly tree: ObjectTree;
}

/** The columns that keep a message and its tree. */
export interface MessageColumns {
  readonly message: Uint8Array;
  readonly tree: Uint8Array;
}

/** Encodes a message for its row. Content travels as objects, so it becomes present and empty. */
export function encodeMessage({ message, tree }: StoredMessage): MessageColumns {
  const stripped = create(MessageSchema, {
    ...(message.metadata === undefined ? {} : { metadata: message.metadata }),
    ...(message.error === undefined
      ? { content: create(RecordDictSchema) }
      : { error: message.error }),
  });
  return {
    message: toBinary(MessageSchema, stripped),
    tree: toBinary(ObjectTreeSchema, tree),
  };
}

/** Decodes what {@link encodeMessage} has encoded. */
export function decodeMessage({ message, tree }: MessageColumns): StoredMessage {
  return {
    message: fromBinary(MessageSchema, message),
    tree: fromBinary(ObjectTreeSchema, tree),
  };
}

/** Decodes the metadata of a stored message, without its tree. */
export function decodeMetadata(message: Uint8Array): Metadata | undefined {
  return fromBinary(MessageSchema, message).metadata;
}

/** The instant at which a message expires, in seconds since the epoch. */
export function expiryOf({ metadata }: CheckedMessage): number {
  return metadata.createdAt + metadata.ttl;
}
