import { create } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import {
  ConfigRecordSchema,
  MetricRecordSchema,
  RecordDictSchema,
} from "../../../gen/flwr/proto/recorddict_pb.ts";
import { ArrayRecord } from "../../../src/appio/objects/array-record.ts";
import { ConfigRecord } from "../../../src/appio/objects/config-record.ts";
import { deflate } from "../../../src/appio/objects/deflate.ts";
import { MetricRecord } from "../../../src/appio/objects/metric-record.ts";
import { NdArray } from "../../../src/appio/objects/nd-array.ts";
import { RecordDict } from "../../../src/appio/objects/record-dict.ts";

/** Which oneof field a value is written to, for both records. */
function caseOf(record: ConfigRecord | MetricRecord): string | undefined {
  return record.toProto().items[0]?.value?.value.case;
}

describe("the mapping of values (contract 7.1)", () => {
  test.each([
    [true, "bool"],
    [0n, "sint64"],
    [-(2n ** 63n), "sint64"],
    [2n ** 63n - 1n, "sint64"],
    [2n ** 63n, "uint64"],
    [2n ** 64n - 1n, "uint64"],
    [0, "double"],
    [5, "double"],
    [Number.NaN, "double"],
    ["", "string"],
    [new Uint8Array(), "bytes"],
    [[], "boolList"],
    [[false], "boolList"],
    [[1], "doubleList"],
    [["a"], "stringList"],
    [[Uint8Array.of(1)], "bytesList"],
    [[1n, -1n], "sintList"],
    [[1n, 2n ** 63n], "uintList"],
  ])("ConfigRecord writes %o as %s", (value, expected) => {
    expect(caseOf(new ConfigRecord({ key: value }))).toBe(expected);
  });

  test.each([
    [5n, "sint64"],
    [2n ** 63n, "uint64"],
    [5, "double"],
    [[], "doubleList"],
    [[1.5], "doubleList"],
    [[-1n], "sintList"],
    [[2n ** 64n - 1n], "uintList"],
  ])("MetricRecord writes %o as %s", (value, expected) => {
    expect(caseOf(new MetricRecord({ key: value }))).toBe(expected);
  });

  test("5 and 5n are different values with different ids", () => {
    expect(deflate(new ConfigRecord({ n: 5 })).id).not.toBe(
      deflate(new ConfigRecord({ n: 5n })).id,
    );
  });
});

describe("values that a record cannot hold are refused, the key named", () => {
  test.each([
    [
      "too large an integer",
      2n ** 64n,
      'key "k": the integer 18446744073709551616 is not within -2^63 and 2^64-1',
    ],
    [
      "too small an integer",
      -(2n ** 63n) - 1n,
      'key "k": the integer -9223372036854775809 is not within',
    ],
    [
      "too large an integer in a list",
      [1n, 2n ** 64n],
      'key "k": the integer 18446744073709551616 is not within',
    ],
    [
      "negative beside very large",
      [-1n, 2n ** 63n],
      'key "k": a list with an integer above 2^63-1 cannot hold the negative -1',
    ],
    [
      "a lone surrogate",
      "\ud800",
      'key "k": the string has a lone surrogate, which UTF-8 cannot express',
    ],
    ["a lone surrogate in a list", ["a", "\udc00"], 'key "k": the string has a lone surrogate'],
  ])("%s", (_, value, text) => {
    expect(() => new ConfigRecord({ k: value })).toThrow(text);
    expect(() => new ConfigRecord({ k: value })).toThrow(TypeError);
  });

  test("a mixed list", () => {
    // @ts-expect-error a list has one type of elements
    expect(() => new ConfigRecord({ k: [1n, 2] })).toThrow(
      'key "k": the list starts with a bigint, but element 1 is a number',
    );
  });

  test.each([
    ["null", null],
    ["undefined", undefined],
    ["object", {}],
    ["function", () => 1],
    ["list of object", [[1]]],
  ])("%s", (name, value) => {
    // @ts-expect-error what only JavaScript callers can pass
    const make = () => new ConfigRecord({ k: value });
    expect(make).toThrow(`key "k": a ConfigRecord cannot hold a value of type ${name}`);
  });

  test.each([
    ["boolean", true],
    ["string", "a"],
    ["bytes", new Uint8Array()],
    ["list of boolean", [true]],
    ["list of string", ["a"]],
  ])("%s in a MetricRecord", (name, value) => {
    // @ts-expect-error metrics are numbers
    const make = () => new MetricRecord({ k: value });
    expect(make).toThrow(`key "k": a MetricRecord cannot hold a value of type ${name}`);
  });

  test("another type in an ArrayRecord or a RecordDict", () => {
    // @ts-expect-error an ArrayRecord holds arrays
    expect(() => new ArrayRecord({ k: new Float32Array(1) })).toThrow(
      'key "k": an ArrayRecord holds NdArray only',
    );
    // @ts-expect-error a RecordDict holds records
    expect(() => new RecordDict({ k: new RecordDict() })).toThrow(
      'key "k": a RecordDict holds ArrayRecord, MetricRecord and ConfigRecord only',
    );
  });

  test("a key that UTF-8 cannot express", () => {
    expect(() => new ConfigRecord({ "\ud800": 1 })).toThrow(
      'a key of ConfigRecord must be a well-formed string, not "\\ud800"',
    );
  });

  test("a protobuf item without a value", () => {
    const items = [{ key: "k", value: {} }];
    const missing = 'key "k" has no value';
    expect(() => ConfigRecord.fromProto(create(ConfigRecordSchema, { items }))).toThrow(missing);
    expect(() => MetricRecord.fromProto(create(MetricRecordSchema, { items }))).toThrow(missing);
    const dict = create(RecordDictSchema, { items: [{ key: "k" }] });
    expect(() => RecordDict.fromProto(dict)).toThrow(missing);
  });
});

describe("keys", () => {
  test("keep their order, and their place when set again", () => {
    const record = new ConfigRecord([
      ["b", 1],
      ["2", 2],
      ["a", 3],
    ]);
    record.set("b", 4).set("c", 5);
    expect(Array.from(record)).toEqual([
      ["b", 4],
      ["2", 2],
      ["a", 3],
      ["c", 5],
    ]);
    expect(record.size).toBe(4);
  });

  test("may be any name, __proto__ included", () => {
    const record = new ConfigRecord([["__proto__", 1n]]);
    expect(record.get("__proto__")).toBe(1n);
    expect(record.find("constructor")).toBeUndefined();
  });

  test("that do not exist are named, with those that do", () => {
    const record = new MetricRecord({ loss: 1, accuracy: 2 });
    expect(() => record.get("los")).toThrow(
      'MetricRecord has no key "los"; its keys are: "loss", "accuracy"',
    );
    expect(() => new RecordDict().get("x")).toThrow(
      'RecordDict has no key "x"; its keys are: none',
    );
    expect(record.find("los")).toBeUndefined();
    expect([record.delete("loss"), record.delete("loss"), record.has("loss")]).toEqual([
      true,
      false,
      false,
    ]);
  });
});

describe("typed accessors", () => {
  const config = new ConfigRecord({ b: true, i: 1n, n: 1.5, s: "x", raw: Uint8Array.of(1) });

  test("return the value", () => {
    expect(config.getBoolean("b")).toBe(true);
    expect(config.getInteger("i")).toBe(1n);
    expect(config.getNumber("n")).toBe(1.5);
    expect(config.getString("s")).toBe("x");
    expect(config.getBytes("raw")).toEqual(Uint8Array.of(1));
  });

  test("refuse a value of another type", () => {
    expect(() => config.getBoolean("i")).toThrow('the value of key "i" is not a boolean');
    expect(() => config.getInteger("n")).toThrow('the value of key "n" is not an integer (bigint)');
    expect(() => config.getNumber("i")).toThrow('the value of key "i" is not a double (number)');
    expect(() => config.getString("b")).toThrow('the value of key "b" is not a string');
    expect(() => config.getBytes("s")).toThrow('the value of key "s" is not bytes');
    const metrics = new MetricRecord({ n: 1 });
    expect(() => metrics.getInteger("n")).toThrow(
      'the value of key "n" is not an integer (bigint)',
    );
  });

  test("of a RecordDict tell records apart", () => {
    const model = new ArrayRecord({ w: NdArray.from(new Float32Array(1)) });
    const dict = new RecordDict({ model, config, metrics: new MetricRecord() });
    expect(dict.getArrayRecord("model")).toBe(model);
    expect(() => dict.getArrayRecord("config")).toThrow(
      'the record of key "config" is of type ConfigRecord, not ArrayRecord',
    );
    expect(Array.from(dict.configRecords)).toEqual([["config", config]]);
    expect(Array.from(dict.metricRecords.keys())).toEqual(["metrics"]);
    expect(Array.from(dict.arrayRecords.keys())).toEqual(["model"]);
  });
});
