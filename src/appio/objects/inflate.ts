import { ArrayChunk } from "./array-chunk.ts";
import { ArrayRecord } from "./array-record.ts";
import { ConfigRecord } from "./config-record.ts";
import { type Children, type ContentObject, InflateError } from "./content-object.ts";
import { parseForInflation } from "./expect-object.ts";
import { Message } from "./message.ts";
import { MetricRecord } from "./metric-record.ts";
import { NdArray } from "./nd-array.ts";
import { RecordDict } from "./record-dict.ts";
import type { ObjectType } from "./structure.ts";

/** Contents of objects, by id. */
export type Contents = ReadonlyMap<string, Uint8Array>;

/** What can stand below what; it also bounds how deep an object can go. */
const childTypes: Readonly<Record<ObjectType, readonly ObjectType[]>> = {
  Message: ["RecordDict"],
  RecordDict: ["ArrayRecord", "MetricRecord", "ConfigRecord"],
  ArrayRecord: ["Array"],
  MetricRecord: [],
  ConfigRecord: [],
  Array: ["ArrayChunk"],
  ArrayChunk: [],
};

/**
 * Rebuilds an object of any type from its content and that of all it refers
 * to. The data of arrays stays where it is: in views of the contents.
 *
 * @throws InflateError if a content is missing or malformed, a type is not
 * where it may be, or children do not match (contract 7.2).
 */
export function inflate(objectId: string, contents: Contents): ContentObject {
  const inflated = new Map<string, ContentObject>();

  const visit = (id: string, parent: ObjectType | undefined): ContentObject => {
    const found = inflated.get(id);
    if (found !== undefined) {
      assertChildType(parent, found.objectType);
      return found;
    }
    const content = contents.get(id);
    if (content === undefined) {
      throw new InflateError(`The content of object ${id} is missing.`);
    }
    const { type, childIds } = parseForInflation(content);
    assertChildType(parent, type);
    const children = new Map(childIds.map((childId) => [childId, visit(childId, type)]));
    const object = inflateOne(type, content, children);
    inflated.set(id, object);
    return object;
  };
  return visit(objectId, undefined);
}

/**
 * Rebuilds a message, and sets its `messageId` to the object id.
 *
 * @throws InflateError as {@link inflate}, or if the object is no message.
 */
export function inflateMessage(objectId: string, contents: Contents): Message {
  const object = inflate(objectId, contents);
  if (!(object instanceof Message)) {
    throw new InflateError(`Expected an object of type Message, but got ${object.objectType}.`);
  }
  return object.withMetadata({ messageId: objectId });
}

function assertChildType(parent: ObjectType | undefined, type: ObjectType): void {
  if (parent !== undefined && !childTypes[parent].includes(type)) {
    throw new InflateError(`A child of a ${parent} object cannot be of type ${type}.`);
  }
}

function inflateOne(type: ObjectType, content: Uint8Array, children: Children): ContentObject {
  switch (type) {
    case "Message":
      return Message.inflate(content, children);
    case "RecordDict":
      return RecordDict.inflate(content, children);
    case "ArrayRecord":
      return ArrayRecord.inflate(content, children);
    case "MetricRecord":
      return MetricRecord.inflate(content, children);
    case "ConfigRecord":
      return ConfigRecord.inflate(content, children);
    case "Array":
      return NdArray.inflate(content, children);
    case "ArrayChunk":
      return ArrayChunk.inflate(content, children);
  }
}
