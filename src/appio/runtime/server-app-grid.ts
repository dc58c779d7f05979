import type { Run } from "../../../gen/flwr/proto/run_pb.ts";
import type { Message } from "../objects/message.ts";

/** Options of one of a grid's calls. */
export interface GridCallOptions {
  /** Ends the call. */
  readonly signal?: AbortSignal;
}

/** Options of {@link ServerAppGrid.sendAndReceive}. */
export interface SendAndReceiveOptions extends GridCallOptions {
  /** How long the whole call may take, sending included, in milliseconds; at least 0. Default: for ever. */
  readonly timeoutMs?: number;
}

/**
 * Returns the time that {@link SendAndReceiveOptions} give, in milliseconds.
 *
 * @throws TypeError if it is no number of at least 0.
 */
export function timeoutOf({ timeoutMs = Number.POSITIVE_INFINITY }: SendAndReceiveOptions): number {
  // Written so that NaN is refused as well.
  if (!(timeoutMs >= 0)) {
    throw new TypeError(`"timeoutMs" must be a number of at least 0, not ${timeoutMs}`);
  }
  return timeoutMs;
}

/**
 * A ServerApp's way to the nodes of its run, wherever they are: behind a
 * SuperLink (`Grid`), or in the same process (a simulation).
 */
export interface ServerAppGrid {
  /** The run. */
  readonly run: Run;

  /** Returns the ids of the nodes that are online and take part in the run. */
  getNodeIds(options?: GridCallOptions): Promise<bigint[]>;

  /**
   * Sends instructions, and resolves when all that they refer to is on its way:
   * the records may change after that.
   *
   * @returns One id for each message, in order; an empty one for a message that
   * was refused, as its node is not there.
   * @throws TypeError if a message is a reply, or has no time to live.
   */
  pushMessages(messages: Iterable<Message>, options?: GridCallOptions): Promise<string[]>;

  /**
   * Returns the replies that have come for instructions, content and all. For
   * an instruction that will not be answered there is a reply with an error;
   * for one that may still be, none.
   *
   * @param messageIds Ids that {@link pushMessages} returned.
   */
  pullMessages(messageIds: Iterable<string>, options?: GridCallOptions): Promise<Message[]>;

  /**
   * Sends instructions and waits for the replies: until all have come, or the
   * time is over. Then it returns what has come.
   *
   * @throws TypeError if `timeoutMs` is no number of at least 0; nothing is sent then.
   */
  sendAndReceive(messages: Iterable<Message>, options?: SendAndReceiveOptions): Promise<Message[]>;
}
