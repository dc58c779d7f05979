import { type Children, type ContentObject, InflateError } from "./content-object.ts";
import {
  decodeUtf8,
  ObjectStructureError,
  type ObjectType,
  type ParsedObject,
  parseObject,
} from "./structure.ts";

/**
 * Takes the content of an object of a known type apart.
 *
 * @throws InflateError if its structure is wrong or the head names another type.
 */
export function expectObject(type: ObjectType, content: Uint8Array): ParsedObject {
  const parsed = parseForInflation(content);
  if (parsed.type !== type) {
    throw new InflateError(`Expected an object of type ${type}, but its head says ${parsed.type}.`);
  }
  return parsed;
}

/** As `parseObject`, with the error of inflation. */
export function parseForInflation(content: Uint8Array): ParsedObject {
  try {
    return parseObject(content);
  } catch (cause) {
    throw cause instanceof ObjectStructureError
      ? new InflateError(cause.message, { cause })
      : cause;
  }
}

/**
 * Checks that the children are exactly those of the head and of the body.
 *
 * @throws InflateError if they are not.
 */
export function expectSameIds(
  type: ObjectType,
  headIds: readonly string[],
  bodyIds: Iterable<string>,
  children: Children,
): void {
  const given = new Set(children.keys());
  for (const [place, ids] of [
    ["head", new Set(headIds)],
    ["body", new Set(bodyIds)],
  ] as const) {
    if (ids.size !== given.size || !Array.from(ids).every((id) => given.has(id))) {
      throw new InflateError(
        `The children of the ${type} object are not those of its ${place}: ` +
          `expected ${listIds(ids)}, but got ${listIds(given)}.`,
      );
    }
  }
}

/** Returns the child, if it is of a type that may stand there. */
export function expectChild<T extends ContentObject>(
  parent: ObjectType,
  id: string,
  children: Children,
  isExpected: (child: ContentObject) => child is T,
): T {
  const child = children.get(id);
  if (child === undefined) {
    throw new InflateError(
      `The ${parent} object refers to ${id}, which is not among its children.`,
    );
  }
  if (!isExpected(child)) {
    throw new InflateError(`A child of a ${parent} object cannot be of type ${child.objectType}.`);
  }
  return child;
}

/** Reads a body that is JSON text. @throws InflateError if it is not. */
export function decodeJsonBody<T>(
  type: ObjectType,
  body: Uint8Array,
  parse: (text: string) => T,
): T {
  const text = decodeUtf8(body);
  if (text === undefined) {
    throw new InflateError(`The body of the ${type} object is not UTF-8.`);
  }
  try {
    return parse(text);
  } catch (cause) {
    throw new InflateError(`The body of the ${type} object cannot be read: ${String(cause)}`, {
      cause,
    });
  }
}

function listIds(ids: ReadonlySet<string>): string {
  return ids.size === 0 ? "none" : Array.from(ids).join(", ");
}
