import type { ObjectTree } from "../../../gen/flwr/proto/message_pb.ts";
import { type CreateSha256, createPortableSha256, objectIdOf } from "../objects/object-id.ts";
import { objectIdsOf } from "../objects/object-tree.ts";
import { type Sleep, sleep as sleepByTimer } from "./sleep.ts";

/** The receiver does not know an object's id: no message that refers to it was announced. */
export class ObjectNotFoundError extends Error {
  override readonly name = "ObjectNotFoundError";
  readonly objectId: string;

  constructor(objectId: string) {
    super(`Object with ID '${objectId}' could not be found.`);
    this.objectId = objectId;
  }
}

/** An object was announced, but its content has not been pushed in time. */
export class ObjectUnavailableError extends Error {
  override readonly name = "ObjectUnavailableError";
  readonly objectId: string;

  constructor(objectId: string) {
    super(`Object with ID '${objectId}' is not yet available.`);
    this.objectId = objectId;
  }
}

/** The content that came for an object does not hash to its id. */
export class ObjectMismatchError extends Error {
  override readonly name = "ObjectMismatchError";
  readonly objectId: string;

  constructor(objectId: string) {
    super(`The content that was received for object '${objectId}' has another ID.`);
    this.objectId = objectId;
  }
}

/** Pushes one object; resolves to whether the receiver took it (`stored`). */
export type PushObject<Content> = (
  objectId: string,
  content: Content,
  signal: AbortSignal,
) => Promise<boolean>;

/** What is known of an object: the fields of PullObjectResponse. */
export interface PulledObject {
  readonly objectFound: boolean;
  readonly objectAvailable: boolean;
  readonly objectContent: Uint8Array;
}

/** Asks for one object. */
export type PullObject = (objectId: string, signal: AbortSignal) => Promise<PulledObject>;

/** Options of {@link pushObjects}. */
export interface PushObjectsOptions {
  /** How many objects are pushed at a time. Default: {@link defaultConcurrency}. */
  readonly maxConcurrentPushes?: number;
  /** Ends the transfer. */
  readonly signal?: AbortSignal | undefined;
}

/** Options of {@link pullObjects}. Times are in milliseconds. */
export interface PullObjectsOptions {
  /** How many objects are pulled at a time. Default: {@link defaultConcurrency}. */
  readonly maxConcurrentPulls?: number;
  /** How long to wait for all objects. Default: 7,200,000 (two hours). */
  readonly maxTimeMs?: number;
  /** How often to ask for an object. Default: 500. */
  readonly maxTriesPerObject?: number;
  /** The first wait before asking again; each further one is twice as long. Default: 1000. */
  readonly initialBackoffMs?: number;
  /** The longest wait. Default: 10,000. */
  readonly maxBackoffMs?: number;
  /** Ends the transfer. */
  readonly signal?: AbortSignal | undefined;
  /** A clock for durations. Default: `performance.now`. */
  readonly now?: (() => number) | undefined;
  /** How to wait. Default: the host's timer. */
  readonly sleep?: Sleep | undefined;
  /** Where jitter comes from: at least 0, below 1. Default: `Math.random`. */
  readonly random?: (() => number) | undefined;
  /** Contents are checked against their ids with it. Default: `createPortableSha256`. */
  readonly createSha256?: CreateSha256 | undefined;
}

/** How many objects are transferred at a time, unless told otherwise. */
export const defaultConcurrency = 2;

/** How much each wait is longer or shorter than it would be, at most: 20 %. */
const backoffSpread = 0.2;

/**
 * Pushes objects, in the order given (children before parents), a few at a
 * time. A content is taken from the iterable when its turn comes, so a lazy
 * one, such as `contentsOf`, keeps as many in memory as are pushed at a time.
 *
 * @throws ObjectNotFoundError if the receiver does not take one, whatever
 * `pushObject` throws, or the signal's reason. The rest is not pushed then.
 */
export async function pushObjects<Content>(
  objects: Iterable<readonly [id: string, content: Content]>,
  pushObject: PushObject<Content>,
  options: PushObjectsOptions = {},
): Promise<void> {
  const { maxConcurrentPushes = defaultConcurrency, signal } = options;
  await forEach(objects, maxConcurrentPushes, signal, async ([id, content], ending) => {
    if (!(await pushObject(id, content, ending))) {
      throw new ObjectNotFoundError(id);
    }
  });
}

/**
 * Pulls objects, in the order given, a few at a time, and waits for those that
 * are announced but not there yet (contract 7.7). The order of the result is
 * that of arrival. Differs from Flower's in that each content is checked
 * against its id.
 *
 * @throws ObjectNotFoundError for an id that the sender does not know,
 * ObjectUnavailableError for an object that does not come in time,
 * ObjectMismatchError for a wrong content, whatever `pullObject` throws, or the
 * signal's reason. The first failure ends the transfer.
 */
export async function pullObjects(
  objectIds: Iterable<string>,
  pullObject: PullObject,
  options: PullObjectsOptions = {},
): Promise<Map<string, Uint8Array>> {
  const { maxConcurrentPulls = defaultConcurrency, maxTimeMs = 7_200_000, signal } = options;
  const { maxTriesPerObject = 500, initialBackoffMs = 1_000, maxBackoffMs = 10_000 } = options;
  const { now = () => performance.now(), sleep = sleepByTimer, random = Math.random } = options;
  const { createSha256 = createPortableSha256 } = options;
  const startedAt = now();
  const contents = new Map<string, Uint8Array>();

  await forEach(new Set(objectIds), maxConcurrentPulls, signal, async (id, ending) => {
    let backoffMs = initialBackoffMs;
    for (let tries = 1; ; tries += 1) {
      ending.throwIfAborted();
      const { objectFound, objectAvailable, objectContent } = await pullObject(id, ending);
      if (!objectFound) {
        throw new ObjectNotFoundError(id);
      }
      if (objectAvailable) {
        if (objectIdOf(objectContent, createSha256) !== id) {
          throw new ObjectMismatchError(id);
        }
        contents.set(id, objectContent);
        return;
      }
      if (tries >= maxTriesPerObject || now() - startedAt >= maxTimeMs) {
        throw new ObjectUnavailableError(id);
      }
      await sleep(backoffMs * (1 + backoffSpread * (2 * random() - 1)), ending);
      backoffMs = Math.min(backoffMs * 2, maxBackoffMs);
    }
  });
  return contents;
}

/** Pulls all objects of a tree; see {@link pullObjects}. */
export function pullObjectTree(
  tree: ObjectTree,
  pullObject: PullObject,
  options?: PullObjectsOptions,
): Promise<Map<string, Uint8Array>> {
  return pullObjects(objectIdsOf(tree), pullObject, options);
}

/**
 * Works on items, a few at a time. The first failure, or the signal, ends the
 * others (the signal given to `work`); it resolves or rejects when all have ended.
 */
async function forEach<T>(
  items: Iterable<T>,
  concurrency: number,
  signal: AbortSignal | undefined,
  work: (item: T, ending: AbortSignal) => Promise<void>,
): Promise<void> {
  if (!Number.isInteger(concurrency) || concurrency < 1) {
    throw new TypeError(
      `the number of concurrent transfers must be a positive integer, not ${concurrency}`,
    );
  }
  signal?.throwIfAborted();
  const stopping = new AbortController();
  const ending =
    signal === undefined ? stopping.signal : AbortSignal.any([signal, stopping.signal]);
  const iterator = items[Symbol.iterator]();

  const worker = async () => {
    try {
      while (!ending.aborted) {
        const next = iterator.next();
        if (next.done === true) {
          return;
        }
        await work(next.value, ending);
      }
    } catch (error) {
      stopping.abort(error);
    }
  };
  await Promise.all(Array.from({ length: concurrency }, worker));
  ending.throwIfAborted();
}
