import type { CallOptions, Client } from "@connectrpc/connect";
import type { Fleet } from "../../../gen/flwr/proto/fleet_pb.ts";
import type { ObjectTree } from "../../../gen/flwr/proto/message_pb.ts";
import { type DeflatedObject, objectsOf } from "../objects/deflate.ts";
import { inflateMessage } from "../objects/inflate.ts";
import type { Message } from "../objects/message.ts";
import { ObjectUpload } from "../objects/object-upload.ts";
import type { Retry } from "./retry.ts";
import {
  defaultConcurrency,
  type PullObjectsOptions,
  pullObjectTree,
  pushObjects,
} from "./transfer.ts";
import { createTurns } from "./turns.ts";

/** The three RPCs of objects. ServerAppIo, ClientAppIo and Fleet have the same. */
export type ObjectClient = Pick<
  Client<typeof Fleet>,
  "pushObject" | "pullObject" | "confirmMessageReceived"
>;

/** What {@link createObjectChannel} needs. */
export interface ObjectChannelOptions extends Omit<PullObjectsOptions, "signal"> {
  /** A client of ServerAppIo, ClientAppIo or Fleet. */
  readonly client: ObjectClient;
  /** Repeats the calls while the server is unavailable. */
  readonly retry: Retry;
  /** The run whose messages are exchanged. */
  readonly runId: bigint;
  /** The node that calls; 1 is the SuperLink, for whom ServerApps speak. */
  readonly nodeId: bigint;
  /** How many objects are pushed at a time. Default: 2. */
  readonly maxConcurrentPushes?: number;
}

/** Moves the objects of messages between an app and its server. */
export interface ObjectChannel {
  /**
   * Pushes objects that the server asked for, children before parents.
   *
   * @param messages What was announced; ids that are not among them are ignored.
   * @param objectIds The server's `objects_to_push`.
   * @throws ObjectNotFoundError if the server does not take one after all.
   */
  push(
    messages: Iterable<DeflatedObject>,
    objectIds: Iterable<string>,
    signal?: AbortSignal,
  ): Promise<void>;
  /**
   * Pulls all objects of a message, and rebuilds the message. Where several
   * messages are pulled at once, `maxConcurrentPulls` holds for all of them
   * together, and one that waits for objects does not hold up the others.
   *
   * @throws ObjectNotFoundError, ObjectUnavailableError or ObjectMismatchError
   * if objects are missing or wrong, and InflateError if they make no message.
   */
  pull(tree: ObjectTree, options?: PullMessageOptions): Promise<Message>;
  /** Tells the server that a message is here, so that it can free the message's objects. */
  confirm(messageId: string, signal?: AbortSignal): Promise<void>;
}

/** Options of {@link ObjectChannel.pull}. */
export interface PullMessageOptions {
  readonly signal?: AbortSignal | undefined;
  /** Of several messages pulled at once, the one of the lowest rank is served first. Default: 0. */
  readonly rank?: number;
}

/** Makes an {@link ObjectChannel}. */
export function createObjectChannel(options: ObjectChannelOptions): ObjectChannel {
  const { client, retry, runId, nodeId } = options;
  const caller = { node: { nodeId }, runId };
  const inTurn = createTurns(options.maxConcurrentPulls ?? defaultConcurrency);

  return {
    async push(messages, objectIds, signal) {
      const wanted = new Set(objectIds);
      await pushObjects(
        wantedObjects(messages, wanted),
        async (objectId, { head, body }, ending) => {
          const request = new ObjectUpload({ ...caller, objectId, pieces: [head, ...body] });
          const attempt = () => client.pushObject(request, callOptions(ending));
          try {
            return (await retry.call(attempt, ending)).stored;
          } finally {
            request.release();
          }
        },
        { ...options, signal },
      );
    },

    async pull(tree, { signal, rank = 0 } = {}) {
      const contents = await pullObjectTree(
        tree,
        (objectId, ending) => {
          const attempt = () => client.pullObject({ ...caller, objectId }, callOptions(ending));
          return inTurn(rank, () => retry.call(attempt, ending));
        },
        { ...options, signal },
      );
      return inflateMessage(tree.objectId, contents);
    },

    async confirm(messageObjectId, signal) {
      const confirmation = { ...caller, messageObjectId };
      await retry.call(
        () => client.confirmMessageReceived(confirmation, callOptions(signal)),
        signal,
      );
    },
  };
}

/** The wanted objects, each once. */
function* wantedObjects(messages: Iterable<DeflatedObject>, wanted: Set<string>) {
  for (const message of messages) {
    for (const [id, object] of objectsOf(message)) {
      if (wanted.delete(id)) {
        yield [id, object] as const;
      }
    }
  }
}

/** connect's options do not take an explicit undefined. */
function callOptions(signal: AbortSignal | undefined): CallOptions {
  return signal === undefined ? {} : { signal };
}
