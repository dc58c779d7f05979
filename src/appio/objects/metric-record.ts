import { create, toBinary } from "@bufbuild/protobuf";
import {
  type MetricRecord as MetricRecordProto,
  MetricRecordSchema,
} from "../../../gen/flwr/proto/recorddict_pb.ts";
import type { Children, ContentObject } from "./content-object.ts";
import { decodeLeaf } from "./decode-leaf.ts";
import { type MetricValue, metricValueFromProto, metricValueToProto } from "./record-value.ts";
import { setItems, ValueRecord } from "./value-record.ts";

/**
 * Measurements by name: integers (`bigint`), doubles (`number`) and lists of
 * one of these. Flower's MetricRecord.
 *
 * ```ts
 * const metrics = new MetricRecord({ accuracy: 0.93, examples: 128n });
 * metrics.getNumber("accuracy"); // 0.93
 * ```
 */
export class MetricRecord extends ValueRecord<MetricValue> implements ContentObject {
  readonly objectType = "MetricRecord";

  protected override get typeName(): string {
    return "MetricRecord";
  }

  protected override accept(key: string, value: MetricValue): MetricValue {
    metricValueToProto(key, value);
    return value;
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
    return setItems(new MetricRecord(), proto.items, metricValueFromProto);
  }
}
