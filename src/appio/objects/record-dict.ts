import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  type RecordDict_Item,
  type RecordDict_ItemSchema,
  type RecordDict as RecordDictProto,
  RecordDictSchema,
} from "../../../gen/flwr/proto/recorddict_pb.ts";
import { ArrayRecord } from "./array-record.ts";
import { ConfigRecord } from "./config-record.ts";
import type { Children, ContentObject } from "./content-object.ts";
import { decodeJsonBody, expectChild, expectObject, expectSameIds } from "./expect-object.ts";
import { parseStringMembers, writeJsonObject, writeJsonString } from "./json.ts";
import { KeyedRecord } from "./keyed-record.ts";
import { MetricRecord } from "./metric-record.ts";

/** What a {@link RecordDict} holds. */
export type AnyRecord = ArrayRecord | MetricRecord | ConfigRecord;

/**
 * Records by name: the content of a message, and what an app keeps in its
 * context. Flower's RecordDict.
 *
 * ```ts
 * const content = new RecordDict({ model, config: new ConfigRecord({ lr: 0.1 }) });
 * content.getConfigRecord("config").getNumber("lr");
 * ```
 */
export class RecordDict extends KeyedRecord<AnyRecord> implements ContentObject {
  readonly objectType = "RecordDict";

  protected override get typeName(): string {
    return "RecordDict";
  }

  protected override accept(key: string, value: AnyRecord): AnyRecord {
    if (!isRecord(value)) {
      throw new TypeError(
        `key ${JSON.stringify(key)}: a RecordDict holds ArrayRecord, MetricRecord and ConfigRecord only`,
      );
    }
    return value;
  }

  /** Returns an ArrayRecord. @throws RangeError without such a key, TypeError for another record. */
  getArrayRecord(key: string): ArrayRecord {
    const record = this.get(key);
    return record instanceof ArrayRecord ? record : isNot(key, "ArrayRecord", record);
  }

  /** Returns a MetricRecord. @throws RangeError without such a key, TypeError for another record. */
  getMetricRecord(key: string): MetricRecord {
    const record = this.get(key);
    return record instanceof MetricRecord ? record : isNot(key, "MetricRecord", record);
  }

  /** Returns a ConfigRecord. @throws RangeError without such a key, TypeError for another record. */
  getConfigRecord(key: string): ConfigRecord {
    const record = this.get(key);
    return record instanceof ConfigRecord ? record : isNot(key, "ConfigRecord", record);
  }

  /** The ArrayRecords, by key, in order; a snapshot. */
  get arrayRecords(): ReadonlyMap<string, ArrayRecord> {
    return this.#only((record) => record instanceof ArrayRecord);
  }

  /** The MetricRecords, by key, in order; a snapshot. */
  get metricRecords(): ReadonlyMap<string, MetricRecord> {
    return this.#only((record) => record instanceof MetricRecord);
  }

  /** The ConfigRecords, by key, in order; a snapshot. */
  get configRecords(): ReadonlyMap<string, ConfigRecord> {
    return this.#only((record) => record instanceof ConfigRecord);
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
   * Rebuilds the records from their content and children.
   *
   * @throws InflateError if the content is no RecordDict's, or the children
   * given are not those it names.
   */
  static inflate(content: Uint8Array, children: Children = new Map()): RecordDict {
    const { childIds, body } = expectObject("RecordDict", content);
    const members = decodeJsonBody("RecordDict", body, parseStringMembers);
    expectSameIds("RecordDict", childIds, members.values(), children);
    return new RecordDict(
      Array.from(members, ([key, id]) => [key, expectChild("RecordDict", id, children, isRecord)]),
    );
  }

  /**
   * Returns the protobuf message with everything inline, as a Context carries
   * it. Messages carry their records as objects instead.
   */
  toProto(): RecordDictProto {
    return create(RecordDictSchema, { items: Array.from(this, itemToProto) });
  }

  /**
   * Makes the records from their protobuf message; none from undefined.
   *
   * @throws TypeError naming the key of an item without a value.
   */
  static fromProto(this: void, proto: RecordDictProto | undefined): RecordDict {
    return new RecordDict(
      (proto?.items ?? []).map((item): [string, AnyRecord] => [item.key, recordFromProto(item)]),
    );
  }

  #only<R extends AnyRecord>(is: (record: AnyRecord) => record is R): ReadonlyMap<string, R> {
    const found = new Map<string, R>();
    for (const [key, record] of this) {
      if (is(record)) {
        found.set(key, record);
      }
    }
    return found;
  }
}

function itemToProto([key, record]: readonly [string, AnyRecord]): MessageInitShape<
  typeof RecordDict_ItemSchema
> {
  switch (record.objectType) {
    case "ArrayRecord":
      return { key, value: { case: "arrayRecord", value: record.toProto() } };
    case "MetricRecord":
      return { key, value: { case: "metricRecord", value: record.toProto() } };
    case "ConfigRecord":
      return { key, value: { case: "configRecord", value: record.toProto() } };
  }
}

function recordFromProto({ key, value }: RecordDict_Item): AnyRecord {
  switch (value.case) {
    case "arrayRecord":
      return ArrayRecord.fromProto(value.value);
    case "metricRecord":
      return MetricRecord.fromProto(value.value);
    case "configRecord":
      return ConfigRecord.fromProto(value.value);
    case undefined:
      throw new TypeError(`key ${JSON.stringify(key)} has no value`);
  }
}

function isRecord(child: ContentObject): child is AnyRecord {
  return (
    child instanceof ArrayRecord || child instanceof MetricRecord || child instanceof ConfigRecord
  );
}

function isNot(key: string, expected: string, record: AnyRecord): never {
  throw new TypeError(
    `the record of key ${JSON.stringify(key)} is of type ${record.objectType}, not ${expected}`,
  );
}
