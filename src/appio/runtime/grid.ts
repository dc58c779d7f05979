import { type CallOptions, Code, ConnectError } from "@connectrpc/connect";
import type { Message as MessageProto, ObjectTree } from "../../../gen/flwr/proto/message_pb.ts";
import type { Run } from "../../../gen/flwr/proto/run_pb.ts";
import {
  type AuthenticatedClient,
  createAuthenticatedClient,
} from "../../client/authenticated-client.ts";
import type { LocatedTransport } from "../../client/located-transport.ts";
import type { Token } from "../../policy/token.ts";
import type { ContentObject } from "../objects/content-object.ts";
import { type DeflatedObject, deflate, treeOf } from "../objects/deflate.ts";
import { Message } from "../objects/message.ts";
import { messageErrorCodes } from "../objects/message-error.ts";
import type { CreateSha256 } from "../objects/object-id.ts";
import { serverAppIoPolicy } from "../policy.ts";
import { addressInstruction, superLinkNodeId } from "./address-instruction.ts";
import { createObjectChannel, type ObjectChannel } from "./object-channel.ts";
import { createRetry, type Retry } from "./retry.ts";
import type { GridCallOptions, SendAndReceiveOptions, ServerAppGrid } from "./server-app-grid.ts";
import { type Sleep, sleep as sleepByTimer } from "./sleep.ts";
import { ObjectUnavailableError, type PullObjectsOptions } from "./transfer.ts";

/** What a {@link Grid} needs. */
export interface GridOptions {
  /** The way to the SuperLink's ServerAppIo. Not closed by the grid. */
  readonly transport: LocatedTransport;
  /** The token of the run. */
  readonly token: Token;
  /** The run, as PullAppInputs gave it. */
  readonly run: Run;
  /** How often replies are asked for while waiting, in milliseconds. Default: 3000. */
  readonly pollIntervalMs?: number;
  /** How the objects of replies are pulled; see `pullObjects`. */
  readonly pulling?: PullObjectsOptions;
  /** Repeats calls while the server is unavailable. Default: one of its own. */
  readonly retry?: Retry;
  /** Ends every call and every wait, such as when the run is stopped. */
  readonly signal?: AbortSignal;
  /** Told what would otherwise pass in silence. Default: `console.warn`. */
  readonly onWarning?: (text: string) => void;
  /** Where the data of arrays is cut, in bytes. Default: 5 MiB. */
  readonly maxChunkBytes?: number;
  /** Makes the hashes of objects. Default: a portable one; on Node, `node:crypto` is faster. */
  readonly createSha256?: CreateSha256;
  /** The clock, in milliseconds since 1970. Default: `Date.now`. */
  readonly now?: () => number;
  /** How to wait. Default: the host's timer. */
  readonly sleep?: Sleep;
  /** Where jitter comes from: at least 0, below 1. Default: `Math.random`. */
  readonly random?: () => number;
}

/**
 * A ServerApp's way to the nodes of its run: sends instructions and collects
 * replies (Flower: Grid). Calls are repeated while the SuperLink is
 * unavailable; they throw RunNotRunningError when the run has been stopped.
 *
 * ```ts
 * const [dstNodeId] = await grid.getNodeIds();
 * const replies = await grid.sendAndReceive(
 *   [new Message({ content, messageType: "train", dstNodeId })],
 *   { timeoutMs: 60_000 },
 * );
 * ```
 */
export class Grid implements ServerAppGrid {
  /** The run. */
  readonly run: Run;
  readonly #options: Omit<GridOptions, "token">;
  readonly #client: AuthenticatedClient<typeof serverAppIoPolicy>;
  readonly #retry: Retry;
  readonly #objects: ObjectChannel;

  /**
   * @throws TypeError if the token is missing, the transport may not carry it,
   * or `run` is not a Run (an id is not enough).
   */
  constructor(options: GridOptions) {
    const { token, ...kept } = options;
    const { transport, run, pulling, retry, random, sleep, now, createSha256 } = kept;
    if (run?.$typeName !== "flwr.proto.Run") {
      throw new TypeError('"run" must be the Run that PullAppInputs gave');
    }
    this.run = run;
    this.#options = kept;
    this.#client = createAuthenticatedClient(serverAppIoPolicy, transport, { appToken: token });
    this.#retry = retry ?? createRetry({ random, sleep, now });
    this.#objects = createObjectChannel({
      ...pulling,
      client: this.#client,
      retry: this.#retry,
      runId: run.runId,
      nodeId: superLinkNodeId,
      random,
      sleep,
      now,
      createSha256,
    });
  }

  /** Returns the ids of the nodes that are online and take part in the run. */
  async getNodeIds(options: GridCallOptions = {}): Promise<bigint[]> {
    const { runId } = this.run;
    const { nodes } = await this.#call(options, (call) => this.#client.getNodes({ runId }, call));
    return nodes.map((node) => node.nodeId);
  }

  /**
   * Sends instructions, and resolves when all that they refer to is with the
   * SuperLink. Records that several messages share are hashed once.
   *
   * @returns One id for each message, in order; an empty one for a message that
   * the SuperLink refused. None at all, with a warning, if the SuperLink has no
   * resources left.
   * @throws TypeError if a message is a reply, or has no time to live.
   */
  async pushMessages(
    messages: Iterable<Message>,
    options: GridCallOptions = {},
  ): Promise<string[]> {
    const { maxChunkBytes, createSha256 } = this.#options;
    const known = new Map<ContentObject, DeflatedObject>();
    const addressed = Array.from(messages, (message) =>
      addressInstruction(message, this.run.runId),
    );
    const deflated = addressed.map((message) =>
      deflate(message, { maxChunkBytes, createSha256, known }),
    );
    if (addressed.length === 0) {
      return [];
    }
    const request = {
      runId: this.run.runId,
      messagesList: addressed.map((message, index) =>
        message.withMetadata({ messageId: deflated[index]?.id ?? "" }).toProto(),
      ),
      messageObjectTrees: deflated.map(treeOf),
    };
    const response = await this.#unlessExhausted("pushed", () =>
      this.#call(options, (call) => this.#client.pushMessages(request, call)),
    );
    if (response === undefined) {
      return [];
    }
    await this.#objects.push(deflated, response.objectsToPush, this.#signal(options));
    return response.messageIds;
  }

  /**
   * Returns the replies that have come for instructions, content and all. For
   * an instruction that will not be answered there is a reply with an error;
   * for one that may still be, none.
   *
   * @param messageIds Ids that {@link pushMessages} returned.
   */
  async pullMessages(
    messageIds: Iterable<string>,
    options: GridCallOptions = {},
  ): Promise<Message[]> {
    const request = { runId: this.run.runId, messageIds: Array.from(new Set(messageIds)) };
    if (request.messageIds.length === 0) {
      return [];
    }
    const response = await this.#unlessExhausted("pulled", () =>
      this.#call(options, (call) => this.#client.pullMessages(request, call)),
    );
    const replies: Message[] = [];
    for (const [index, proto] of (response?.messagesList ?? []).entries()) {
      replies.push(await this.#pullReply(proto, response?.messageObjectTrees[index], options));
    }
    return replies;
  }

  /**
   * Sends instructions and waits for the replies: until all have come, or the
   * time is over. Then it returns what has come.
   */
  async sendAndReceive(
    messages: Iterable<Message>,
    options: SendAndReceiveOptions = {},
  ): Promise<Message[]> {
    const { pollIntervalMs = 3_000, sleep = sleepByTimer, now = defaultClock } = this.#options;
    const { timeoutMs = Number.POSITIVE_INFINITY } = options;
    const signal = this.#signal(options);
    const unanswered = new Set(await this.pushMessages(messages, options));
    const endsAt = now() + timeoutMs;
    const replies: Message[] = [];
    while (unanswered.size > 0 && now() < endsAt) {
      for (const reply of await this.pullMessages(unanswered, options)) {
        replies.push(reply);
        unanswered.delete(reply.metadata.replyToMessageId);
      }
      if (unanswered.size > 0) {
        // Flower sleeps the whole interval even when the time is over before it.
        await sleep(Math.max(0, Math.min(pollIntervalMs, endsAt - now())), signal);
        signal?.throwIfAborted();
      }
    }
    return replies;
  }

  async #pullReply(
    { metadata }: MessageProto,
    tree: ObjectTree | undefined,
    options: GridCallOptions,
  ): Promise<Message> {
    if (tree === undefined) {
      throw new ConnectError("the server sent a message without its objects", Code.Internal);
    }
    try {
      return await this.#objects.pull(tree, this.#signal(options));
    } catch (error) {
      if (error instanceof ObjectUnavailableError) {
        return this.#unavailableReply(metadata?.replyToMessageId ?? "", error.message);
      }
      throw error;
    }
  }

  /** Stands for a reply whose objects never came. It exists here only. */
  #unavailableReply(replyToMessageId: string, reason: string): Message {
    const { now = Date.now } = this.#options;
    const metadata = {
      runId: this.run.runId,
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

  /** Makes a call, repeated while the server is unavailable. */
  #call<T>(options: GridCallOptions, attempt: (call: CallOptions) => Promise<T>): Promise<T> {
    const signal = this.#signal(options);
    return this.#retry.call(() => attempt(signal === undefined ? {} : { signal }), signal);
  }

  /** Flower's grid goes on with nothing when the server has no resources left. */
  async #unlessExhausted<T>(done: string, call: () => Promise<T>): Promise<T | undefined> {
    try {
      return await call();
    } catch (error) {
      if (ConnectError.from(error).code !== Code.ResourceExhausted) {
        throw error;
      }
      const { onWarning = console.warn } = this.#options;
      onWarning(`No messages were ${done}: the server's resources are exhausted.`);
      return undefined;
    }
  }

  /** Ends a call when either the grid or the call itself is to end. */
  #signal({ signal }: GridCallOptions): AbortSignal | undefined {
    const own = this.#options.signal;
    return own === undefined || signal === undefined
      ? (own ?? signal)
      : AbortSignal.any([own, signal]);
  }
}

function defaultClock(): number {
  return performance.now();
}
