import { type CallOptions, Code, ConnectError } from "@connectrpc/connect";
import type { Run } from "../../../gen/flwr/proto/run_pb.ts";
import {
  type AuthenticatedClient,
  createAuthenticatedClient,
} from "../../client/authenticated-client.ts";
import type { LocatedTransport } from "../../client/located-transport.ts";
import type { Token } from "../../policy/token.ts";
import type { ContentObject } from "../objects/content-object.ts";
import { type DeflatedObject, deflate, treeOf } from "../objects/deflate.ts";
import type { Message } from "../objects/message.ts";
import type { CreateSha256 } from "../objects/object-id.ts";
import { superLinkNodeId } from "../objects/super-link-node-id.ts";
import { serverAppIoPolicy } from "../policy.ts";
import { addressInstruction } from "./address-instruction.ts";
import { createObjectChannel, type ObjectChannel } from "./object-channel.ts";
import { pullReplies } from "./pull-replies.ts";
import { createRetry, type Retry } from "./retry.ts";
import {
  type GridCallOptions,
  type SendAndReceiveOptions,
  type ServerAppGrid,
  timeoutOf,
} from "./server-app-grid.ts";
import { type Sleep, sleep as sleepByTimer } from "./sleep.ts";
import { sleepUntil } from "./sleep-until.ts";
import type { PullObjectsOptions } from "./transfer.ts";

/** What a {@link Grid} needs. */
export interface GridOptions {
  /** The way to the SuperLink's ServerAppIo; on Node, of `openGrpc`. Not closed by the grid. */
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
    const { nodes } = await this.#call(this.#signal(options), (call) =>
      this.#client.getNodes({ runId }, call),
    );
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
  pushMessages(messages: Iterable<Message>, options: GridCallOptions = {}): Promise<string[]> {
    return this.#push(messages, this.#signal(options));
  }

  async #push(messages: Iterable<Message>, signal: AbortSignal | undefined): Promise<string[]> {
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
      this.#call(signal, (call) => this.#client.pushMessages(request, call)),
    );
    if (response === undefined) {
      return [];
    }
    await this.#objects.push(deflated, response.objectsToPush, signal);
    return response.messageIds;
  }

  /**
   * Returns the replies that have come for instructions, content and all. For
   * an instruction that will not be answered there is a reply with an error;
   * for one that may still be, none.
   *
   * @param messageIds Ids that {@link pushMessages} returned.
   */
  pullMessages(messageIds: Iterable<string>, options: GridCallOptions = {}): Promise<Message[]> {
    return this.#pull(messageIds, this.#signal(options), undefined);
  }

  /**
   * Sends instructions and waits for the replies: until all have come, or the
   * time is over. Then it returns what has come. The time is that of the whole
   * call: what takes longer to send stays unsent, with a warning.
   */
  async sendAndReceive(
    messages: Iterable<Message>,
    options: SendAndReceiveOptions = {},
  ): Promise<Message[]> {
    const { pollIntervalMs = 3_000, sleep = sleepByTimer, now = defaultClock } = this.#options;
    const timeoutMs = timeoutOf(options);
    const signal = this.#signal(options);
    const over = new AbortController();
    const done = new AbortController();
    if (timeoutMs < Number.POSITIVE_INFINITY) {
      void sleepUntil(now() + timeoutMs, done.signal, { now, sleep }).then(() => over.abort());
    }
    const deadline = over.signal;
    const ending = anyOf(signal, deadline);
    const replies: Message[] = [];
    let unanswered: Set<string> | undefined;
    try {
      unanswered = new Set(await this.#push(messages, ending));
      while (unanswered.size > 0 && !deadline.aborted) {
        for (const reply of await this.#pull(unanswered, signal, deadline)) {
          replies.push(reply);
          unanswered.delete(reply.metadata.replyToMessageId);
        }
        if (unanswered.size > 0) {
          // Flower sleeps the whole interval even when the time is over before it.
          await sleep(pollIntervalMs, ending);
          signal?.throwIfAborted();
        }
      }
    } catch (error) {
      if (!deadline.aborted || signal?.aborted) {
        throw error;
      }
      if (unanswered === undefined) {
        this.#warn(`Not all messages could be sent within ${timeoutMs} ms.`);
      }
    } finally {
      done.abort();
    }
    return replies;
  }

  /** Pulls replies; only those that arrive before the deadline. */
  async #pull(
    messageIds: Iterable<string>,
    signal: AbortSignal | undefined,
    deadline: AbortSignal | undefined,
  ): Promise<Message[]> {
    const { runId } = this.run;
    const request = { runId, messageIds: Array.from(new Set(messageIds)) };
    if (request.messageIds.length === 0) {
      return [];
    }
    const response = await this.#unlessExhausted("pulled", () =>
      this.#call(anyOf(signal, deadline), (call) => this.#client.pullMessages(request, call)),
    );
    const trees = response?.messageObjectTrees ?? [];
    const announced = response?.messagesList ?? [];
    return pullReplies(
      announced.map((message, index) => ({ message, tree: trees[index] })),
      {
        objects: this.#objects,
        runId,
        signal,
        deadline,
        onWarning: (text) => this.#warn(text),
        now: this.#options.now ?? Date.now,
      },
    );
  }

  /** Makes a call, repeated while the server is unavailable. */
  #call<T>(
    signal: AbortSignal | undefined,
    attempt: (call: CallOptions) => Promise<T>,
  ): Promise<T> {
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
      this.#warn(`No messages were ${done}: the server's resources are exhausted.`);
      return undefined;
    }
  }

  #warn(text: string): void {
    const { onWarning = console.warn } = this.#options;
    onWarning(text);
  }

  /** Ends a call when either the grid or the call itself is to end. */
  #signal({ signal }: GridCallOptions): AbortSignal | undefined {
    return anyOf(this.#options.signal, signal);
  }
}

function anyOf(...signals: readonly (AbortSignal | undefined)[]): AbortSignal | undefined {
  const given = signals.filter((signal) => signal !== undefined);
  return given.length < 2 ? given[0] : AbortSignal.any(given);
}

function defaultClock(): number {
  return performance.now();
}
