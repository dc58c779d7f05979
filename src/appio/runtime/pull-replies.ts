import { Code, ConnectError } from "@connectrpc/connect";
import type { Message as MessageProto, ObjectTree } from "../../../gen/flwr/proto/message_pb.ts";
import { InflateError } from "../objects/content-object.ts";
import { Message } from "../objects/message.ts";
import { messageErrorCodes } from "../objects/message-error.ts";
import { metadataFromProto } from "../objects/metadata.ts";
import { superLinkNodeId } from "../objects/super-link-node-id.ts";
import type { ObjectChannel } from "./object-channel.ts";
import { RunNotRunningError } from "./retry.ts";
import { ObjectMismatchError, ObjectNotFoundError, ObjectUnavailableError } from "./transfer.ts";

/** A reply as PullMessages lists it. */
export interface AnnouncedReply {
  readonly message: MessageProto;
  /** Undefined when the server's list of trees is too short. */
  readonly tree: ObjectTree | undefined;
}

/** Options of {@link pullReplies}. */
export interface PullRepliesOptions {
  readonly objects: ObjectChannel;
  readonly runId: bigint;
  /** Ends the pull with its reason. */
  readonly signal?: AbortSignal | undefined;
  /** Ends the pull with the replies that have arrived. */
  readonly deadline?: AbortSignal | undefined;
  /** Told of every reply that could not be read. */
  readonly onWarning: (text: string) => void;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

/**
 * Pulls the objects of replies and confirms each reply. One that cannot be had
 * does not hold up or take along the others: an error reply stands for it, code
 * 3, which exists here only. If its objects are wrong, it is confirmed all the
 * same, for it would be no better the next time; if they are missing, not.
 *
 * @returns the replies, in order; only those that have arrived when the deadline came first
 * @throws RunNotRunningError; ConnectError when the token is refused or the server is out of reach; the signal's reason
 */
export async function pullReplies(
  announced: readonly AnnouncedReply[],
  options: PullRepliesOptions,
): Promise<Message[]> {
  const { signal, deadline } = options;
  const failing = new AbortController();
  const ending = AbortSignal.any(
    [failing.signal, signal, deadline].filter((given) => given !== undefined),
  );
  const pulled = await Promise.all(
    announced.map(async (reply, rank) => {
      try {
        return await pullReply(reply, rank, ending, options);
      } catch (error) {
        if (!ending.aborted) {
          failing.abort(error);
        }
        return undefined;
      }
    }),
  );
  signal?.throwIfAborted();
  failing.signal.throwIfAborted();
  return pulled.filter((reply) => reply !== undefined);
}

async function pullReply(
  { message: announced, tree }: AnnouncedReply,
  rank: number,
  signal: AbortSignal,
  options: PullRepliesOptions,
): Promise<Message> {
  const { objects, onWarning } = options;
  const { messageId = "", replyToMessageId = "" } = announced.metadata ?? {};
  let reply: Message;
  try {
    if (tree === undefined) {
      throw new InflateError("The server sent the message without its objects.");
    }
    reply = await objects.pull(tree, { signal, rank });
    assertAnnounced(reply, announced);
  } catch (error) {
    signal.throwIfAborted();
    if (!isOfOneReply(error)) {
      throw error;
    }
    onWarning(`The reply to message ${replyToMessageId} could not be read: ${error.message}`);
    if (error instanceof InflateError || error instanceof ObjectMismatchError) {
      await confirm(messageId, signal, options);
    }
    return unreadableReply(replyToMessageId, error.message, options);
  }
  await confirm(messageId, signal, options);
  return reply;
}

/** Lets the server free a reply. It is here, so only what ends the app makes a failure matter. */
async function confirm(
  messageId: string,
  signal: AbortSignal,
  { objects, onWarning }: PullRepliesOptions,
): Promise<void> {
  try {
    await objects.confirm(messageId, signal);
  } catch (error) {
    if (signal.aborted) {
      return;
    }
    if (!isOfOneReply(error)) {
      throw error;
    }
    onWarning(`Message ${messageId} could not be confirmed: ${error.message}`);
  }
}

/** What is said in the object is what the app believes, so it must be what the server has checked. */
function assertAnnounced({ metadata: said }: Message, { metadata }: MessageProto): void {
  const announced = metadataFromProto(metadata);
  for (const field of ["runId", "srcNodeId", "dstNodeId", "replyToMessageId"] as const) {
    if (said[field] !== announced[field]) {
      throw new InflateError(
        `The message was announced with "${field}" ${announced[field]}, but says ${said[field]}.`,
      );
    }
  }
}

/** Whether an error is about one reply, and the others can still be had. */
function isOfOneReply(error: unknown): error is Error {
  if (error instanceof RunNotRunningError) {
    return false;
  }
  if (error instanceof ConnectError) {
    return error.code !== Code.Unauthenticated && error.code !== Code.Unavailable;
  }
  return (
    error instanceof InflateError ||
    error instanceof ObjectMismatchError ||
    error instanceof ObjectNotFoundError ||
    error instanceof ObjectUnavailableError
  );
}

function unreadableReply(
  replyToMessageId: string,
  reason: string,
  { runId, now }: PullRepliesOptions,
): Message {
  const metadata = {
    runId,
    messageId: "",
    srcNodeId: superLinkNodeId,
    dstNodeId: superLinkNodeId,
    replyToMessageId,
    groupId: "",
    ttlSeconds: 0,
    messageType: "system",
    createdAtSeconds: now() / 1000,
  };
  return new Message(metadata, { error: { code: messageErrorCodes.messageUnavailable, reason } });
}
