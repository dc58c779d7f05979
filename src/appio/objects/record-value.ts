import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  type ConfigRecordValue,
  ConfigRecordValueSchema,
  type MetricRecordValue,
  MetricRecordValueSchema,
} from "../../../gen/flwr/proto/recorddict_pb.ts";
import { isWellFormed } from "./keyed-record.ts";

/**
 * What a MetricRecord holds. A `number` is a double and a `bigint` is an
 * integer, always: `5` is Python's `5.0` and `5n` is Python's `5`. They are
 * different values with different ids.
 */
export type MetricValue = number | bigint | readonly number[] | readonly bigint[];

/** What a ConfigRecord holds: {@link MetricValue} and more; lists have one type of elements. */
export type ConfigValue =
  | MetricValue
  | boolean
  | string
  | Uint8Array
  | readonly boolean[]
  | readonly string[]
  | readonly Uint8Array[];

type Scalar = boolean | bigint | number | string | Uint8Array;
type ScalarKind = "boolean" | "bigint" | "number" | "string" | "bytes";
type ConfigOneof = NonNullable<MessageInitShape<typeof ConfigRecordValueSchema>["value"]>;
type MetricOneof = NonNullable<MessageInitShape<typeof MetricRecordValueSchema>["value"]>;

const maxSint64 = 2n ** 63n - 1n;
const minSint64 = -(2n ** 63n);
const maxUint64 = 2n ** 64n - 1n;

/**
 * Returns the protobuf message of a ConfigRecord's value.
 *
 * @throws TypeError naming the key, if the value is of no type that a
 * ConfigRecord holds, an integer is out of range, or a list is mixed.
 */
export function configValueToProto(key: string, value: ConfigValue): ConfigRecordValue {
  return create(ConfigRecordValueSchema, {
    value: configOneof(`key ${JSON.stringify(key)}`, value),
  });
}

/**
 * Returns the protobuf message of a MetricRecord's value.
 *
 * @throws TypeError as {@link configValueToProto}.
 */
export function metricValueToProto(key: string, value: MetricValue): MetricRecordValue {
  return create(MetricRecordValueSchema, {
    value: metricOneof(`key ${JSON.stringify(key)}`, value),
  });
}

/**
 * Returns a ConfigRecord's value.
 *
 * @throws TypeError naming the key, if the message holds none.
 */
export function configValueFromProto(key: string, proto: ConfigRecordValue): ConfigValue {
  const { value } = proto;
  switch (value.case) {
    case undefined:
      throw new TypeError(`key ${JSON.stringify(key)} has no value`);
    case "doubleList":
    case "sintList":
    case "uintList":
    case "boolList":
    case "stringList":
    case "bytesList":
      return value.value.vals;
    default:
      return value.value;
  }
}

/**
 * Returns a MetricRecord's value.
 *
 * @throws TypeError naming the key, if the message holds none.
 */
export function metricValueFromProto(key: string, proto: MetricRecordValue): MetricValue {
  const { value } = proto;
  switch (value.case) {
    case undefined:
      throw new TypeError(`key ${JSON.stringify(key)} has no value`);
    case "doubleList":
    case "sintList":
    case "uintList":
      return value.value.vals;
    default:
      return value.value;
  }
}

/**
 * Chooses the field of an integer: sint64 where it fits, else uint64.
 *
 * @param what Names the value in the error.
 * @throws TypeError if it fits neither.
 */
export function integerCase(
  what: string,
  value: bigint,
): { case: "sint64" | "uint64"; value: bigint } {
  if (value < minSint64 || value > maxUint64) {
    throw new TypeError(`${what}: the integer ${value} is not within -2^63 and 2^64-1`);
  }
  return { case: value > maxSint64 ? "uint64" : "sint64", value };
}

/**
 * Checks that a string can be written as UTF-8.
 *
 * @throws TypeError naming `what`, if it has lone surrogates.
 */
export function assertWellFormed(what: string, value: string): string {
  if (!isWellFormed(value)) {
    throw new TypeError(`${what}: the string has a lone surrogate, which UTF-8 cannot express`);
  }
  return value;
}

function metricOneof(what: string, value: MetricValue): MetricOneof {
  if (isList(value)) {
    return value.length === 0
      ? { case: "doubleList", value: { vals: [] } }
      : (numberList(what, value) ?? refuse(what, value, "a MetricRecord"));
  }
  switch (kindOf(value)) {
    case "bigint":
      return integerCase(what, BigInt(value));
    case "number":
      return { case: "double", value: Number(value) };
    default:
      return refuse(what, value, "a MetricRecord");
  }
}

function configOneof(what: string, value: ConfigValue): ConfigOneof {
  if (isList(value)) {
    return configList(what, value);
  }
  if (typeof value === "boolean") {
    return { case: "bool", value };
  }
  if (typeof value === "string") {
    return { case: "string", value: assertWellFormed(what, value) };
  }
  if (value instanceof Uint8Array) {
    return { case: "bytes", value };
  }
  if (typeof value === "bigint") {
    return integerCase(what, value);
  }
  return typeof value === "number"
    ? { case: "double", value }
    : refuse(what, value, "a ConfigRecord");
}

function configList(what: string, list: readonly Scalar[]): ConfigOneof {
  if (list.length === 0) {
    return { case: "boolList", value: { vals: [] } };
  }
  const numbers = numberList(what, list);
  if (numbers !== undefined) {
    return numbers;
  }
  switch (kindOf(list[0])) {
    case "boolean":
      return { case: "boolList", value: { vals: only(what, list, isBoolean) } };
    case "string":
      return {
        case: "stringList",
        value: { vals: only(what, list, isString).map((item) => assertWellFormed(what, item)) },
      };
    case "bytes":
      return { case: "bytesList", value: { vals: only(what, list, isBytes) } };
    default:
      return refuse(what, list, "a ConfigRecord");
  }
}

/** The list fields that both records have; undefined for a list of anything else. */
function numberList(what: string, list: readonly Scalar[]): MetricOneof | undefined {
  switch (kindOf(list[0])) {
    case "number":
      return { case: "doubleList", value: { vals: only(what, list, isNumber) } };
    case "bigint": {
      const vals = only(what, list, isBigint);
      const cases = vals.map((value) => integerCase(what, value).case);
      if (!cases.includes("uint64")) {
        return { case: "sintList", value: { vals } };
      }
      const negative = vals.find((value) => value < 0n);
      if (negative !== undefined) {
        throw new TypeError(
          `${what}: a list with an integer above 2^63-1 cannot hold the negative ${negative}`,
        );
      }
      return { case: "uintList", value: { vals } };
    }
    default:
      return undefined;
  }
}

/** The list, if all its elements are of one type. */
function only<T extends Scalar>(
  what: string,
  list: readonly Scalar[],
  is: (item: Scalar) => item is T,
): T[] {
  return list.map((item, index) =>
    is(item)
      ? item
      : fail(
          `${what}: the list starts with a ${kindOf(list[0])}, but element ${index} is a ${kindOf(item)}`,
        ),
  );
}

const isBoolean = (item: Scalar): item is boolean => typeof item === "boolean";
const isBigint = (item: Scalar): item is bigint => typeof item === "bigint";
const isNumber = (item: Scalar): item is number => typeof item === "number";
const isString = (item: Scalar): item is string => typeof item === "string";
const isBytes = (item: Scalar): item is Uint8Array => item instanceof Uint8Array;

function isList(value: ConfigValue): value is readonly Scalar[] & ConfigValue {
  return Array.isArray(value);
}

function kindOf(
  value: unknown,
): ScalarKind | "null" | "undefined" | "symbol" | "function" | "object" {
  if (value instanceof Uint8Array) {
    return "bytes";
  }
  return value === null ? "null" : typeof value;
}

function refuse(what: string, value: unknown, holder: string): never {
  const kind = Array.isArray(value) ? `list of ${kindOf(value[0])}` : kindOf(value);
  return fail(`${what}: ${holder} cannot hold a value of type ${kind}`);
}

function fail(text: string): never {
  throw new TypeError(text);
}
