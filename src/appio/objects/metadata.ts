import { create } from "@bufbuild/protobuf";
import {
  type Metadata as MetadataProto,
  MetadataSchema,
} from "../../../gen/flwr/proto/message_pb.ts";

/** What is known about a message besides its content. Flower's Metadata. */
export interface Metadata {
  /** The run; 0 until the Grid sends the message. */
  readonly runId: bigint;
  /** The message's object id; empty until it is sent. */
  readonly messageId: string;
  /** The sender; 1 is the SuperLink, where ServerApps run; 0 until the Grid sends the message. */
  readonly srcNodeId: bigint;
  /** The receiver. */
  readonly dstNodeId: bigint;
  /** Id of the message that this one replies to; empty for an instruction. */
  readonly replyToMessageId: string;
  /** Groups messages, such as those of one round; empty for none. */
  readonly groupId: string;
  /** How long the message lives, from `createdAtSeconds`. */
  readonly ttlSeconds: number;
  /** What the receiver shall do: `train`, `evaluate`, `query`, or one of these with `.name`. */
  readonly messageType: string;
  /** When the message was made, in seconds since 1970. */
  readonly createdAtSeconds: number;
}

/** Returns the metadata of a protobuf message; zero values where there is none. */
export function metadataFromProto(proto: MetadataProto | undefined): Metadata {
  const given = proto ?? create(MetadataSchema);
  return {
    runId: given.runId,
    messageId: given.messageId,
    srcNodeId: given.srcNodeId,
    dstNodeId: given.dstNodeId,
    replyToMessageId: given.replyToMessageId,
    groupId: given.groupId,
    ttlSeconds: given.ttl,
    messageType: given.messageType,
    createdAtSeconds: given.createdAt,
  };
}

/** Returns the protobuf message of metadata. */
export function metadataToProto(metadata: Metadata): MetadataProto {
  const { ttlSeconds, createdAtSeconds, ...same } = metadata;
  return create(MetadataSchema, { ...same, ttl: ttlSeconds, createdAt: createdAtSeconds });
}
