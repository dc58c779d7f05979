import { type DescMessage, fromBinary, type MessageShape } from "@bufbuild/protobuf";
import { type Children, InflateError } from "./content-object.ts";
import { expectObject } from "./expect-object.ts";
import type { ObjectType } from "./structure.ts";

/**
 * Rebuilds an object that has no children and whose body is a protobuf message.
 *
 * @throws InflateError if the content is of another type or there are children,
 * or if the body cannot be decoded.
 */
export function decodeLeaf<Desc extends DescMessage, T>(
  type: ObjectType,
  content: Uint8Array,
  children: Children,
  schema: Desc,
  fromProto: (proto: MessageShape<Desc>) => T,
): T {
  const { childIds, body } = expectObject(type, content);
  expectNoChildren(type, childIds, children);
  try {
    return fromProto(fromBinary(schema, body));
  } catch (cause) {
    throw new InflateError(`The body of the ${type} object cannot be decoded: ${String(cause)}`, {
      cause,
    });
  }
}

/**
 * Checks an object that never has children.
 *
 * @throws InflateError if it has some.
 */
export function expectNoChildren(
  type: ObjectType,
  childIds: readonly string[],
  children: Children,
): void {
  if (childIds.length > 0 || children.size > 0) {
    throw new InflateError(`An object of type ${type} must have no children.`);
  }
}
