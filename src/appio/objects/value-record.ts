import type { ContentObject } from "./content-object.ts";
import { KeyedRecord } from "./keyed-record.ts";
import type { ConfigValue } from "./record-value.ts";

/** What records of plain values, ConfigRecord and MetricRecord, have in common beyond their keys. */
export abstract class ValueRecord<V extends ConfigValue> extends KeyedRecord<V> {
  /** Returns an integer. @throws RangeError without such a key, TypeError for another type. */
  getInteger(key: string): bigint {
    const value = this.get(key);
    return typeof value === "bigint" ? value : this.isNot(key, "an integer (bigint)");
  }

  /** Returns a double. @throws RangeError without such a key, TypeError for another type. */
  getNumber(key: string): number {
    const value = this.get(key);
    return typeof value === "number" ? value : this.isNot(key, "a double (number)");
  }

  /** There are none: the values are in the record's own body. */
  childObjects(): readonly ContentObject[] {
    return [];
  }

  /** @throws TypeError, always: the value under the key is of another type. */
  protected isNot(key: string, expected: string): never {
    throw new TypeError(`the value of key ${JSON.stringify(key)} is not ${expected}`);
  }
}

/** An item of a record's protobuf message. */
interface ItemProto<P> {
  readonly key: string;
  readonly value?: P | undefined;
}

/**
 * Puts the items of a protobuf message into a record, in order.
 *
 * @throws TypeError naming the key of an item without a value.
 */
export function setItems<V extends ConfigValue, P, R extends ValueRecord<V>>(
  record: R,
  items: readonly ItemProto<P>[],
  valueFromProto: (key: string, value: P) => V,
): R {
  for (const { key, value } of items) {
    if (value === undefined) {
      throw new TypeError(`key ${JSON.stringify(key)} has no value`);
    }
    record.set(key, valueFromProto(key, value));
  }
  return record;
}
