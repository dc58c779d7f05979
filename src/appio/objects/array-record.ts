import { create } from "@bufbuild/protobuf";
import {
  type ArrayRecord as ArrayRecordProto,
  ArrayRecordSchema,
} from "../../../gen/flwr/proto/recorddict_pb.ts";
import type { Children, ContentObject } from "./content-object.ts";
import { decodeJsonBody, expectChild, expectObject, expectSameIds } from "./expect-object.ts";
import { parseStringMembers, writeJsonObject, writeJsonString } from "./json.ts";
import { KeyedRecord } from "./keyed-record.ts";
import { NdArray } from "./nd-array.ts";

/**
 * Arrays by name: the parameters of a model. Flower's ArrayRecord.
 *
 * ```ts
 * const model = new ArrayRecord({ w: NdArray.from(new Float32Array([1, 2, 3, 4]), [2, 2]) });
 * model.get("w").toTypedArray();
 * ```
 */
export class ArrayRecord extends KeyedRecord<NdArray> implements ContentObject {
  readonly objectType = "ArrayRecord";

  protected override get typeName(): string {
    return "ArrayRecord";
  }

  protected override accept(key: string, value: NdArray): NdArray {
    if (!(value instanceof NdArray)) {
      throw new TypeError(`key ${JSON.stringify(key)}: an ArrayRecord holds NdArray only`);
    }
    return value;
  }

  childObjects(): readonly ContentObject[] {
    return Array.from(this.values());
  }

  encodeBody(childIds: readonly string[]): readonly Uint8Array[] {
    const members = Array.from(
      this.keys(),
      (key, index) => [key, writeJsonString(childIds[index] ?? "")] as const,
    );
    return [new TextEncoder().encode(writeJsonObject(members))];
  }

  /**
   * Rebuilds a record from its content and its arrays.
   *
   * @throws InflateError if the content is no ArrayRecord's, or the children
   * given are not those it names.
   */
  static inflate(content: Uint8Array, children: Children = new Map()): ArrayRecord {
    const { childIds, body } = expectObject("ArrayRecord", content);
    const members = decodeJsonBody("ArrayRecord", body, parseStringMembers);
    expectSameIds("ArrayRecord", childIds, members.values(), children);
    return new ArrayRecord(
      Array.from(members, ([key, id]) => [
        key,
        expectChild("ArrayRecord", id, children, isNdArray),
      ]),
    );
  }

  /** Returns the protobuf message, with the arrays' data inline. */
  toProto(): ArrayRecordProto {
    return create(ArrayRecordSchema, {
      items: Array.from(this, ([key, value]) => ({ key, value: value.toProto() })),
    });
  }

  /**
   * Makes a record from its protobuf message.
   *
   * @throws TypeError naming the key of an item without a value.
   */
  static fromProto(this: void, proto: ArrayRecordProto): ArrayRecord {
    const record = new ArrayRecord();
    for (const { key, value } of proto.items) {
      if (value === undefined) {
        throw new TypeError(`key ${JSON.stringify(key)} has no value`);
      }
      record.set(key, NdArray.fromProto(value));
    }
    return record;
  }
}

function isNdArray(child: ContentObject): child is NdArray {
  return child instanceof NdArray;
}
