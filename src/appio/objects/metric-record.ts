import { create, toBinary } from "@bufbuild/protobuf";
import {
  type MetricRecord as MetricRecordProto,
  MetricRecordSchema,
} from "../../../gen/flwr/proto/recorddict_pb.ts";
import type { Children, ContentObject } from "./content-object.ts";
import { decodeLeaf } from "./decode-leaf.ts";
import { KeyedRecord } from "./keyed-record.ts";
import { type MetricValue, metricValueFromProto, metricValueToProto } from "./record-value.ts";

/**
 * Measurements by name: integers (`bigint`), doubles (`number`) and lists of
 * one of these. Flower's MetricRecord.
 *
 * ```ts
 * const metrics = new MetricRecord({ accuracy: 0.93, examples: 128n });
 * metrics.getNumber("accuracy"); // 0.93
 * ```
 */
export class MetricRecord extends KeyedRecord<MetricValue> implements ContentObject {
  readonly objectType = "MetricRecord";

  protected override get typeName(): string {
    return "MetricRecord";
  }

  protected override accept(key: string, value: MetricValue): MetricValue {
    metricValueToProto(key, value);
    return value;
  }

  /** Returns an integer. @throws RangeError without such a key, TypeError for another type. */
  getInteger(key: string): bigint {
    const value = this.get(key);
    return typeof value === "bigint" ? value : this.#isNot(key, "an integer (bigint)");
  }

  /** Returns a double. @throws RangeError without such a key, TypeError for another type. */
  getNumber(key: string): number {
    const value = this.get(key);
    return typeof value === "number" ? value : this.#isNot(key, "a double (number)");
  }

  childObjects(): readonly ContentObject[] {
    return [];
  }

  encodeBody(): readonly Uint8Array[] {
    return [toBinary(MetricRecordSchema, this.toProto())];
  }

  /**
   * Rebuilds a record from its content.
   *
   * @throws InflateError if the content is no MetricRecord's or there are children.
   */
  static inflate(content: Uint8Array, children: Children = new Map()): MetricRecord {
    return decodeLeaf(
      "MetricRecord",
      content,
      children,
      MetricRecordSchema,
      MetricRecord.fromProto,
    );
  }

  /** Returns the protobuf message, items in order. */
  toProto(): MetricRecordProto {
    return create(MetricRecordSchema, {
      items: Array.from(this, ([key, value]) => ({ key, value: metricValueToProto(key, value) })),
    });
  }

  /**
   * Makes a record from its protobuf message.
   *
   * @throws TypeError naming the key of an item without a value.
   */
  static fromProto(this: void, proto: MetricRecordProto): MetricRecord {
    const record = new MetricRecord();
    for (const { key, value } of proto.items) {
      if (value === undefined) {
        throw new TypeError(`key ${JSON.stringify(key)} has no value`);
      }
      record.set(key, metricValueFromProto(key, value));
    }
    return record;
  }

  #isNot(key: string, expected: string): never {
    throw new TypeError(`the value of key ${JSON.stringify(key)} is not ${expected}`);
  }
}
