import type { Run } from "../../../../gen/flwr/proto/run_pb.ts";
import {
  contentOf,
  type DeflatedObject,
  deflate,
  objectsOf,
  treeOf,
} from "../../objects/deflate.ts";
import { Message } from "../../objects/message.ts";
import type { CreateSha256 } from "../../objects/object-id.ts";
import { RecordDict } from "../../objects/record-dict.ts";
import { addressInstruction } from "../../runtime/address-instruction.ts";
import {
  type GridCallOptions,
  type SendAndReceiveOptions,
  type ServerAppGrid,
  timeoutOf,
} from "../../runtime/server-app-grid.ts";
import type { Sleep } from "../../runtime/sleep.ts";
import { sleepUntil } from "../../runtime/sleep-until.ts";
import { textOfThrown } from "../../runtime/thrown-text.ts";
import { checkInstructions } from "../../state/message-rules.ts";
import { crashReply, unavailableReply } from "./error-replies.ts";
import { type PieceContents, packMessage, unpackMessage } from "./message-packet.ts";
import type { VirtualNode } from "./virtual-nodes.ts";
import type { WorkerPool } from "./worker-pool.ts";

/** What a {@link SimulationGrid} needs. */
export interface SimulationGridOptions {
  readonly run: Run;
  /** The nodes, by their ids. */
  readonly nodes: ReadonlyMap<bigint, VirtualNode>;
  /** What runs the nodes' ClientApps. Not closed by the grid. */
  readonly pool: Pick<WorkerPool, "answer">;
  /** Ends every call and all work, such as when the run is stopped. */
  readonly signal: AbortSignal;
  readonly createSha256: CreateSha256;
  /** The clock of messages and timeouts, in milliseconds since 1970. */
  readonly now: () => number;
  readonly sleep: Sleep;
  /** Told of each message that a node has answered. Default: nobody. */
  readonly onAnswer?: (text: string) => void;
}

/** A message that was sent to a node, until its reply is pulled. */
interface Instruction {
  /** Makes the reply; undefined while there is none. */
  reply: (() => Message) | undefined;
  /** Resolves when there is a reply. Never rejects. */
  readonly answered: Promise<void>;
}

/**
 * A ServerApp's way to virtual nodes, which worker threads of this process work
 * for. It keeps to the rules of a SuperLink: the same messages are refused, an
 * instruction has exactly one reply, which can be pulled once, and a message
 * that its node has not answered within its time to live gets an error reply.
 *
 * A node works on one message at a time, in the order in which they were sent.
 */
export class SimulationGrid implements ServerAppGrid {
  readonly run: Run;
  readonly #options: SimulationGridOptions;
  /** By the ids of the messages. */
  readonly #instructions = new Map<string, Instruction>();

  constructor(options: SimulationGridOptions) {
    this.run = options.run;
    this.#options = options;
  }

  /** Returns the ids of all virtual nodes, in the order of their partitions. */
  async getNodeIds(options: GridCallOptions = {}): Promise<bigint[]> {
    this.#signal(options).throwIfAborted();
    return Array.from(this.#options.nodes.keys());
  }

  /** @throws ConnectError InvalidArgument for a message that a SuperLink would refuse. */
  async pushMessages(
    messages: Iterable<Message>,
    options: GridCallOptions = {},
  ): Promise<string[]> {
    this.#signal(options).throwIfAborted();
    const { createSha256, nodes, now } = this.#options;
    const known = new Map();
    const sent = Array.from(messages, (message) => {
      const addressed = addressInstruction(message, this.run.runId);
      const deflated = deflate(addressed, { createSha256, known });
      return { deflated, message: addressed.withMetadata({ messageId: deflated.id }) };
    });
    if (sent.length === 0) {
      return [];
    }
    checkInstructions(
      this.run.runId,
      sent.map(({ message }) => message.toProto()),
      sent.map(({ deflated }) => treeOf(deflated)),
      now(),
    );
    const copies = new Map<string, Uint8Array>();
    return sent.map(({ message, deflated }) => {
      const node = nodes.get(message.metadata.dstNodeId);
      if (node === undefined) {
        return "";
      }
      if (!this.#instructions.has(deflated.id)) {
        this.#give(node, withoutContent(message), copyOf(deflated, copies));
      }
      return deflated.id;
    });
  }

  async pullMessages(
    messageIds: Iterable<string>,
    options: GridCallOptions = {},
  ): Promise<Message[]> {
    this.#signal(options).throwIfAborted();
    const replies: Message[] = [];
    for (const id of new Set(messageIds)) {
      const instruction = this.#instructions.get(id);
      if (instruction === undefined) {
        replies.push(unavailableReply(id, this.#options.now()));
      } else if (instruction.reply !== undefined) {
        replies.push(instruction.reply());
        this.#instructions.delete(id);
      }
    }
    return replies;
  }

  async sendAndReceive(
    messages: Iterable<Message>,
    options: SendAndReceiveOptions = {},
  ): Promise<Message[]> {
    const timeoutMs = timeoutOf(options);
    const { now, sleep } = this.#options;
    const signal = this.#signal(options);
    const ids = await this.pushMessages(messages, options);
    const answered = Promise.all(ids.map((id) => this.#instructions.get(id)?.answered));
    const waiting = new AbortController();
    const ending = AbortSignal.any([signal, waiting.signal]);
    await Promise.race([answered, sleepUntil(now() + timeoutMs, ending, { now, sleep })]);
    waiting.abort();
    return this.pullMessages(ids, options);
  }

  /** Puts a message on its node's list. */
  #give(node: VirtualNode, message: Message, contents: PieceContents): void {
    const { signal, now, sleep } = this.#options;
    const { messageId, createdAtSeconds, ttlSeconds } = message.metadata;
    const { promise: answered, resolve } = Promise.withResolvers<void>();
    const instruction: Instruction = { reply: undefined, answered };
    const over = new AbortController();
    const settle = (reply: () => Message) => {
      if (instruction.reply === undefined) {
        instruction.reply = reply;
        resolve();
        over.abort();
      }
    };
    this.#instructions.set(messageId, instruction);

    const ending = AbortSignal.any([signal, over.signal]);
    const expiresAt = (createdAtSeconds + ttlSeconds) * 1000;
    void sleepUntil(expiresAt, ending, { now, sleep }).then(() =>
      settle(() => unavailableReply(messageId, now())),
    );
    node.idle = node.idle.then(() => this.#work(node, message, contents, over.signal, settle));
  }

  /** Has a worker answer a message for its node. Never rejects. */
  async #work(
    node: VirtualNode,
    message: Message,
    contents: PieceContents,
    signal: AbortSignal,
    settle: (reply: () => Message) => void,
  ): Promise<void> {
    const { pool, onAnswer, now } = this.#options;
    const nodeName = `node ${node.partitionId}`;
    const task = () => ({
      nodeName,
      packet: packMessage(message.metadata.messageId, contents),
      context: node.context,
    });
    try {
      const startedAt = performance.now();
      const { packet, context } = await pool.answer(task, signal);
      node.context = context;
      settle(() => unpackMessage(packet));
      const tookMs = Math.round(performance.now() - startedAt);
      onAnswer?.(`${nodeName}: ${message.metadata.messageType} took ${tookMs} ms`);
    } catch (error) {
      // When the signal is aborted there is a reply already.
      const reply = crashReply(message, textOfThrown(error), now);
      settle(() => reply);
    }
  }

  /** Ends a call when either the grid or the call itself is to end. */
  #signal({ signal }: GridCallOptions): AbortSignal {
    const own = this.#options.signal;
    return signal === undefined ? own : AbortSignal.any([own, signal]);
  }
}

/** The objects of a message as they are at this moment; those that several messages share are copied once. */
function copyOf(message: DeflatedObject, copies: Map<string, Uint8Array>): PieceContents {
  return Array.from(objectsOf(message), ([id, object]) => {
    const copy = copies.get(id) ?? contentOf(object);
    copies.set(id, copy);
    return [id, [copy]] as const;
  });
}

/** What a message is remembered by: its content is in the copies, as long as it is needed. */
function withoutContent({ metadata }: Message): Message {
  return new Message(metadata, { content: new RecordDict() });
}
