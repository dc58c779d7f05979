import type { ObjectTree } from "../../../gen/flwr/proto/message_pb.ts";
import { joinPieces, lengthOf } from "./bytes.ts";
import type { ContentObject } from "./content-object.ts";
import { type CreateSha256, createPortableSha256, objectIdOf } from "./object-id.ts";
import { objectTree } from "./object-tree.ts";
import { encodeHead, type ObjectType } from "./structure.ts";

/** Where the data of arrays is cut unless told otherwise, in bytes: Flower's 5 MiB. */
export const defaultMaxChunkBytes = 5_242_880;

/** An object ready to be stored or sent, with all that it refers to. */
export interface DeflatedObject {
  /** Its id. */
  readonly id: string;
  readonly type: ObjectType;
  /** The distinct objects it refers to, in order of first appearance. */
  readonly children: readonly DeflatedObject[];
  /** Head and separator. */
  readonly head: Uint8Array;
  /** The body, in consecutive pieces; those of a chunk are views of the array's data. */
  readonly body: readonly Uint8Array[];
}

/** Options of {@link deflate}. */
export interface DeflateOptions {
  /**
   * Where the data of arrays is cut, in bytes. Ids depend on it.
   * Default: {@link defaultMaxChunkBytes}.
   */
  readonly maxChunkBytes?: number | undefined;
  /** Default: `createPortableSha256`. */
  readonly createSha256?: CreateSha256 | undefined;
  /**
   * Objects deflated before, found by identity: give the same Map to several
   * calls, and what their messages share is hashed once. Only as long as
   * nothing in it changes.
   */
  readonly known?: Map<ContentObject, DeflatedObject>;
}

/**
 * Turns an object and all that it refers to into their content-addressed form.
 * The data of arrays is hashed in place and not copied.
 *
 * @throws TypeError if `maxChunkBytes` is no positive integer.
 */
export function deflate(object: ContentObject, options: DeflateOptions = {}): DeflatedObject {
  const { maxChunkBytes = defaultMaxChunkBytes, createSha256 = createPortableSha256 } = options;
  if (!Number.isSafeInteger(maxChunkBytes) || maxChunkBytes < 1) {
    throw new TypeError(`"maxChunkBytes" must be a positive integer, not ${maxChunkBytes}`);
  }
  const known = options.known ?? new Map<ContentObject, DeflatedObject>();

  const visit = (current: ContentObject): DeflatedObject => {
    const found = known.get(current);
    if (found !== undefined) {
      return found;
    }
    const all = current.childObjects(maxChunkBytes).map(visit);
    const children = Array.from(new Map(all.map((child) => [child.id, child])).values());
    const body = current.encodeBody(all.map((child) => child.id));
    const type = current.objectType;
    const head = encodeHead(
      type,
      children.map((child) => child.id),
      lengthOf(body),
    );
    const id = objectIdOf([head, ...body], createSha256);
    const deflated = { id, type, children, head, body };
    known.set(current, deflated);
    return deflated;
  };
  return visit(object);
}

/** Returns the content of an object in one piece; the only step that copies. */
export function contentOf(object: DeflatedObject): Uint8Array<ArrayBuffer> {
  return joinPieces([object.head, ...object.body]);
}

/** Returns the tree of an object's ids. */
export function treeOf(object: DeflatedObject): ObjectTree {
  return objectTree(object.id, object.children.map(treeOf));
}

/**
 * Returns an object and all that it refers to by id, each once, children before
 * their parents: the order in which objects are pushed.
 */
export function objectsOf(object: DeflatedObject): Map<string, DeflatedObject> {
  const objects = new Map<string, DeflatedObject>();
  const visit = (current: DeflatedObject) => {
    if (!objects.has(current.id)) {
      current.children.forEach(visit);
      objects.set(current.id, current);
    }
  };
  visit(object);
  return objects;
}

/**
 * Produces id and content of an object and all that it refers to, in the order
 * of {@link objectsOf}. Each content is made when it is asked for, so that
 * whoever handles one after the other has one in memory at a time.
 */
export function* contentsOf(
  object: DeflatedObject,
): Generator<readonly [id: string, content: Uint8Array<ArrayBuffer>], void, undefined> {
  for (const [id, deflated] of objectsOf(object)) {
    yield [id, contentOf(deflated)];
  }
}
