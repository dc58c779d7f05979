import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { type Error as ErrorProto, ErrorSchema } from "../../../gen/flwr/proto/error_pb.ts";
import { type Message as MessageProto, MessageSchema } from "../../../gen/flwr/proto/message_pb.ts";
import { type Children, type ContentObject, InflateError } from "./content-object.ts";
import { expectChild, expectObject } from "./expect-object.ts";
import type { MessageError } from "./message-error.ts";
import { type Metadata, metadataFromProto, metadataToProto } from "./metadata.ts";
import { RecordDict } from "./record-dict.ts";

export type { Metadata } from "./metadata.ts";
export { metadataFromProto, metadataToProto } from "./metadata.ts";

/** How long a message lives unless told otherwise, in seconds: 12 hours. */
export const defaultTtlSeconds = 43_200;

/** A reply may be said to live this much longer than what it replies to, in seconds. */
export const ttlToleranceSeconds = 0.1;

/** What a message carries: content or an error. */
export type Payload =
  | { readonly content: RecordDict; readonly error?: never }
  | { readonly error: MessageError; readonly content?: never };

/** An instruction: a message that starts an exchange. */
export interface MessageInit {
  /** The records to send. */
  readonly content: RecordDict;
  /** What the receiver shall do: `train`, `evaluate`, `query`, or one of these with `.name`. */
  readonly messageType: string;
  /** The node to send it to. */
  readonly dstNodeId: bigint;
  /** Groups messages, such as those of one round. Default: none. */
  readonly groupId?: string;
  /** Default: {@link defaultTtlSeconds}. */
  readonly ttlSeconds?: number;
  /** The clock, in milliseconds since 1970. Default: `Date.now`. */
  readonly now?: () => number;
}

/** Options of a reply. */
export interface ReplyOptions {
  /**
   * How long the reply lives. Default, and at most: as long as the message it
   * replies to still does; more is cut down to that.
   */
  readonly ttlSeconds?: number;
  /** The clock, in milliseconds since 1970. Default: `Date.now`. */
  readonly now?: () => number;
}

/**
 * What a ServerApp and a ClientApp exchange: metadata, and content or an
 * error. A message does not change; its content may, until it is sent.
 * Flower's Message.
 *
 * ```ts
 * const instruction = new Message({ content, messageType: "train", dstNodeId });
 * const reply = instruction.reply(new RecordDict({ metrics }));
 * ```
 */
export class Message implements ContentObject {
  readonly objectType = "Message";
  readonly metadata: Metadata;
  readonly #payload: Payload;

  /** Makes an instruction. For a reply, see {@link reply} and {@link replyWithError}. */
  constructor(init: MessageInit);
  /** Makes a message of given metadata; for code that receives messages. */
  constructor(metadata: Metadata, payload: Payload);
  constructor(init: MessageInit | Metadata, payload?: Payload) {
    if ("content" in init) {
      this.metadata = Object.freeze(instructionMetadata(init));
      this.#payload = assertPayload({ content: init.content });
    } else {
      this.metadata = Object.freeze({ ...init });
      this.#payload = assertPayload(payload);
    }
  }

  /** Tells whether the message carries content. */
  hasContent(): boolean {
    return this.#payload.content !== undefined;
  }

  /** Tells whether the message carries an error. */
  hasError(): boolean {
    return this.#payload.error !== undefined;
  }

  /** The records. @throws TypeError with the error's code and reason, if the message carries an error. */
  get content(): RecordDict {
    const { content, error } = this.#payload;
    if (content === undefined) {
      throw new TypeError(
        `the message has no content but error ${error?.code}${error?.reason ? `: ${error.reason}` : ""}`,
      );
    }
    return content;
  }

  /** The error. @throws TypeError if the message carries content. */
  get error(): MessageError {
    const { error } = this.#payload;
    if (error === undefined) {
      throw new TypeError("the message has no error but content");
    }
    return error;
  }

  /** Content or error, whichever it is. */
  get payload(): Payload {
    return this.#payload;
  }

  /** Makes a reply with content. */
  reply(content: RecordDict, options?: ReplyOptions): Message {
    return new Message(this.#replyMetadata(options), { content });
  }

  /** Makes a reply that says what went wrong. */
  replyWithError(error: MessageError, options?: ReplyOptions): Message {
    return new Message(this.#replyMetadata(options), { error });
  }

  /** Returns the same message with some of its metadata replaced. */
  withMetadata(changes: Partial<Metadata>): Message {
    return new Message({ ...this.metadata, ...changes }, this.#payload);
  }

  childObjects(): readonly ContentObject[] {
    return this.#payload.content === undefined ? [] : [this.#payload.content];
  }

  /** The id is the hash over this, so the id itself is left out of it. */
  encodeBody(): readonly Uint8Array[] {
    const { error } = this.#payload;
    const metadata = metadataToProto({ ...this.metadata, messageId: "" });
    const proto = create(MessageSchema, {
      metadata,
      ...(error === undefined ? {} : { error: errorToProto(error) }),
    });
    return [toBinary(MessageSchema, proto)];
  }

  /**
   * Rebuilds a message from its content and its RecordDict. Its `messageId` is
   * empty, as the id is no part of the content: `inflateMessage` sets it.
   *
   * @throws InflateError if the content is no Message's, or the children are not
   * exactly those that the head lists.
   */
  static inflate(content: Uint8Array, children: Children = new Map()): Message {
    const { childIds, body } = expectObject("Message", content);
    const given = Array.from(children.keys());
    if (childIds.join() !== given.join()) {
      throw new InflateError(
        `The children of the Message object must be exactly those of its head: ` +
          `expected ${childIds.join(", ") || "none"}, but got ${given.join(", ") || "none"}.`,
      );
    }
    const proto = decodeMessage(body);
    const metadata = metadataFromProto(proto.metadata);
    if (proto.error !== undefined) {
      return new Message(metadata, { error: errorFromProto(proto.error) });
    }
    const [contentId] = childIds;
    if (contentId === undefined) {
      throw new InflateError("A Message object must have content or an error.");
    }
    return new Message(metadata, {
      content: expectChild("Message", contentId, children, isRecordDict),
    });
  }

  /**
   * Returns the protobuf message as it stands in a list of messages: metadata,
   * and an empty content or the error. The content travels as objects.
   */
  toProto(): MessageProto {
    const { error } = this.#payload;
    return create(MessageSchema, {
      metadata: metadataToProto(this.metadata),
      ...(error === undefined ? { content: {} } : { error: errorToProto(error) }),
    });
  }

  #replyMetadata({ ttlSeconds, now = Date.now }: ReplyOptions = {}): Metadata {
    const { runId, messageId, srcNodeId, dstNodeId, groupId, messageType } = this.metadata;
    const createdAtSeconds = now() / 1000;
    const remaining = this.metadata.createdAtSeconds + this.metadata.ttlSeconds - createdAtSeconds;
    const tooLong = ttlSeconds !== undefined && ttlSeconds - remaining > ttlToleranceSeconds;
    return {
      runId,
      messageId: "",
      srcNodeId: dstNodeId,
      dstNodeId: srcNodeId,
      replyToMessageId: messageId,
      groupId,
      // 0 stands for "not given", as in Flower.
      ttlSeconds: tooLong ? remaining : ttlSeconds || remaining,
      messageType,
      createdAtSeconds,
    };
  }
}

function instructionMetadata(init: MessageInit): Metadata {
  const { messageType, dstNodeId, groupId = "", ttlSeconds, now = Date.now } = init;
  if (typeof dstNodeId !== "bigint") {
    throw new TypeError('"dstNodeId" must be a bigint: ids of nodes have 64 bits');
  }
  return {
    runId: 0n,
    messageId: "",
    srcNodeId: 0n,
    dstNodeId,
    replyToMessageId: "",
    groupId,
    ttlSeconds: ttlSeconds ?? defaultTtlSeconds,
    messageType,
    createdAtSeconds: now() / 1000,
  };
}

function assertPayload(payload: Payload | undefined): Payload {
  if (payload?.content instanceof RecordDict) {
    return Object.freeze({ content: payload.content });
  }
  if (payload?.error !== undefined && Number.isSafeInteger(payload.error.code)) {
    const { code, reason = "" } = payload.error;
    return Object.freeze({ error: Object.freeze(reason === "" ? { code } : { code, reason }) });
  }
  throw new TypeError(
    'a message needs a RecordDict as "content", or an "error" whose code is an integer',
  );
}

function errorToProto({ code, reason = "" }: MessageError): ErrorProto {
  return create(ErrorSchema, { code: BigInt(code), reason });
}

function errorFromProto({ code, reason }: ErrorProto): MessageError {
  if (!Number.isSafeInteger(Number(code))) {
    throw new InflateError(`The error code ${code} of the message is out of range.`);
  }
  return { code: Number(code), reason };
}

function decodeMessage(body: Uint8Array): MessageProto {
  try {
    return fromBinary(MessageSchema, body);
  } catch (cause) {
    throw new InflateError(`The body of the Message object cannot be decoded: ${String(cause)}`, {
      cause,
    });
  }
}

function isRecordDict(child: ContentObject): child is RecordDict {
  return child instanceof RecordDict;
}
