import { ArrayRecord } from "../../../src/appio/objects/array-record.ts";
import { ConfigRecord } from "../../../src/appio/objects/config-record.ts";
import { type DeflatedObject, deflate, treeOf } from "../../../src/appio/objects/deflate.ts";
import { Message } from "../../../src/appio/objects/message.ts";
import { NdArray } from "../../../src/appio/objects/nd-array.ts";
import { RecordDict } from "../../../src/appio/objects/record-dict.ts";

/** A message as it is pushed, and its objects. */
export interface Draft {
  readonly id: string;
  readonly message: ReturnType<Message["toProto"]>;
  readonly tree: ReturnType<typeof treeOf>;
  readonly object: DeflatedObject;
}

/** What must be known of a message to answer it. */
type Asked = Pick<Draft, "id" | "message">;

/** What differs from an ordinary message. */
export interface DraftOptions {
  readonly content?: RecordDict;
  readonly ttlSeconds?: number;
  readonly messageType?: string;
}

/** Creates what writes messages by a clock, as a Grid and a ClientApp do. */
export function createDrafts(now: () => number) {
  return {
    /** A message from the SuperLink to a node. Each call makes another one. */
    instruction(runId: bigint, dstNodeId: bigint, options: DraftOptions = {}): Draft {
      const { content = settings({ lr: 0.1 }), ttlSeconds, messageType = "train" } = options;
      const message = new Message({
        ...{ dstNodeId, messageType, content, now, groupId: crypto.randomUUID() },
        ...(ttlSeconds === undefined ? {} : { ttlSeconds }),
      });
      return toDraft(message.withMetadata({ runId, srcNodeId: 1n }));
    },
    /** The node's reply to such a message. */
    reply(instruction: Asked, options: DraftOptions = {}): Draft {
      const { content = settings({ loss: 0.5 }), ttlSeconds } = options;
      const asked = new Message(metadataOf(instruction), { content: settings({}) });
      const answer = asked.reply(content, { now });
      return toDraft(ttlSeconds === undefined ? answer : answer.withMetadata({ ttlSeconds }));
    },
  };
}

/** Records of a few numbers. */
export function settings(config: Record<string, number>): RecordDict {
  return new RecordDict({ config: new ConfigRecord(config) });
}

/** Records of one array of random bytes. */
export function model(length: number): RecordDict {
  const data = new Uint8Array(length);
  for (let start = 0; start < length; start += 65_536) {
    crypto.getRandomValues(data.subarray(start, start + 65_536));
  }
  return new RecordDict({ model: new ArrayRecord({ weights: NdArray.from(data) }) });
}

/** Makes a message ready to be pushed: its id is that of its object. */
function toDraft(message: Message): Draft {
  const object = deflate(message);
  return {
    id: object.id,
    message: message.withMetadata({ messageId: object.id }).toProto(),
    tree: treeOf(object),
    object,
  };
}

function metadataOf({ message: { metadata }, id }: Asked) {
  if (metadata === undefined) {
    throw new Error("a draft has metadata");
  }
  const { ttl, createdAt, ...same } = metadata;
  return { ...same, messageId: id, ttlSeconds: ttl, createdAtSeconds: createdAt };
}
