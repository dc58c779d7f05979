import { create, toBinary } from "@bufbuild/protobuf";
import {
  type ConfigRecord as ConfigRecordProto,
  ConfigRecordSchema,
} from "../../../gen/flwr/proto/recorddict_pb.ts";
import type { Children, ContentObject } from "./content-object.ts";
import { decodeLeaf } from "./decode-leaf.ts";
import { type ConfigValue, configValueFromProto, configValueToProto } from "./record-value.ts";
import { setItems, ValueRecord } from "./value-record.ts";

/**
 * Settings by name: booleans, integers (`bigint`), doubles (`number`), strings,
 * bytes, and lists of one of these. Flower's ConfigRecord.
 *
 * ```ts
 * const config = new ConfigRecord({ lr: 0.1, epochs: 2n });
 * config.getInteger("epochs"); // 2n
 * ```
 *
 * Which of the two an integer is matters: `5n` is Python's `5`, `5` is
 * Python's `5.0`. An empty list keeps no type of elements.
 */
export class ConfigRecord extends ValueRecord<ConfigValue> implements ContentObject {
  readonly objectType = "ConfigRecord";

  protected override get typeName(): string {
    return "ConfigRecord";
  }

  protected override accept(key: string, value: ConfigValue): ConfigValue {
    configValueToProto(key, value);
    return value;
  }

  /** Returns a boolean. @throws RangeError without such a key, TypeError for another type. */
  getBoolean(key: string): boolean {
    const value = this.get(key);
    return typeof value === "boolean" ? value : this.isNot(key, "a boolean");
  }

  /** Returns a string. @throws RangeError without such a key, TypeError for another type. */
  getString(key: string): string {
    const value = this.get(key);
    return typeof value === "string" ? value : this.isNot(key, "a string");
  }

  /** Returns bytes. @throws RangeError without such a key, TypeError for another type. */
  getBytes(key: string): Uint8Array {
    const value = this.get(key);
    return value instanceof Uint8Array ? value : this.isNot(key, "bytes");
  }

  encodeBody(): readonly Uint8Array[] {
    return [toBinary(ConfigRecordSchema, this.toProto())];
  }

  /**
   * Rebuilds a record from its content.
   *
   * @throws InflateError if the content is no ConfigRecord's or there are children.
   */
  static inflate(content: Uint8Array, children: Children = new Map()): ConfigRecord {
    return decodeLeaf(
      "ConfigRecord",
      content,
      children,
      ConfigRecordSchema,
      ConfigRecord.fromProto,
    );
  }

  /** Returns the protobuf message, items in order. */
  toProto(): ConfigRecordProto {
    return create(ConfigRecordSchema, {
      items: Array.from(this, ([key, value]) => ({ key, value: configValueToProto(key, value) })),
    });
  }

  /**
   * Makes a record from its protobuf message.
   *
   * @throws TypeError naming the key of an item without a value.
   */
  static fromProto(this: void, proto: ConfigRecordProto): ConfigRecord {
    return setItems(new ConfigRecord(), proto.items, configValueFromProto);
  }
}
