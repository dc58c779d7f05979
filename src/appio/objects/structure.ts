import { isObjectId, objectIdOf } from "./object-id.ts";

/** The types of objects, by the names that stand in their heads. */
export const objectTypes = [
  "Message",
  "RecordDict",
  "ArrayRecord",
  "MetricRecord",
  "ConfigRecord",
  "Array",
  "ArrayChunk",
] as const;

/** One of {@link objectTypes}. */
export type ObjectType = (typeof objectTypes)[number];

/** An object's content taken apart. */
export interface ParsedObject {
  readonly type: ObjectType;
  /** Ids of the children, as the head lists them. */
  readonly childIds: readonly string[];
  /** A view of the content, not a copy. */
  readonly body: Uint8Array;
}

/** The content of an object does not have the structure every object has. */
export class ObjectStructureError extends Error {
  override readonly name = "ObjectStructureError";
  /** SHA-256 of the content. */
  readonly objectId: string;
  /** What is wrong, without the id. */
  readonly reason: string;

  constructor(objectId: string, reason: string) {
    super(`Object with ID '${objectId}' has an unexpected structure. ${reason}`);
    this.objectId = objectId;
    this.reason = reason;
  }
}

/** Byte between head and body. Bodies may contain it too: the first one counts. */
export const headBodySeparator = 0;

/**
 * A head longer than this cannot be turned into a string by any JavaScript
 * engine, and a record with so many children could not be sent either.
 */
const maxHeadBytes = 2 ** 28;

/**
 * Returns the head of an object, its separator included.
 *
 * @param childIds Distinct ids, in order of first appearance.
 */
export function encodeHead(
  type: ObjectType,
  childIds: readonly string[],
  bodyLength: number,
): Uint8Array {
  return new TextEncoder().encode(`${type} ${childIds.join(",")} ${bodyLength}\0`);
}

/**
 * Takes an object's content apart and checks its structure. The body is not
 * read, and no byte is copied.
 *
 * @param objectId For the error; computed from the content when absent.
 * @throws ObjectStructureError if there is no separator, the head is not UTF-8
 * of three parts, a child's id is no id, the type is unknown, or the head's
 * length is not that of the body.
 */
export function parseObject(content: Uint8Array, objectId?: string): ParsedObject {
  const reject = (reason: string): never => {
    throw new ObjectStructureError(objectId ?? objectIdOf(content), reason);
  };
  const separator = content.indexOf(headBodySeparator);
  if (separator === -1 || separator > maxHeadBytes) {
    return reject("Unexpected format for object content. Head and body could not be split.");
  }
  const head = decodeUtf8(content.subarray(0, separator));
  if (head === undefined) {
    return reject("The object head is not UTF-8.");
  }
  const [typeName, children, length, ...rest] = head.split(" ");
  if (typeName === undefined || children === undefined || length === undefined || rest.length > 0) {
    return reject("Unexpected format for object head.");
  }
  const childIds = children.split(",").filter((id) => id !== "");
  const invalid = childIds.find((id) => !isObjectId(id));
  if (invalid !== undefined) {
    return reject(`Detected invalid object ID (${invalid}) in children.`);
  }
  const type = objectTypes.find((name) => name === typeName);
  if (type === undefined) {
    return reject(`Object of type ${typeName} is not supported.`);
  }
  const body = content.subarray(separator + 1);
  if (!/^[0-9]{1,15}$/.test(length) || Number(length) !== body.length) {
    return reject(`Object content length expected ${length} bytes but got ${body.length} bytes.`);
  }
  return { type, childIds, body };
}

/**
 * Checks the structure of an object's content: what a store asks before it
 * keeps an object. Whether the content hashes to the id that the sender named
 * is another question, asked before this one with `objectIdOf`.
 *
 * @throws ObjectStructureError as {@link parseObject} does; its message is the
 * text Flower's clients see.
 */
export function assertObjectStructure(content: Uint8Array, objectId?: string): void {
  parseObject(content, objectId);
}

/** Decodes UTF-8, a byte order mark included; undefined where it is malformed. */
export function decodeUtf8(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}
