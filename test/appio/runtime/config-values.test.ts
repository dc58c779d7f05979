import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { ContextSchema } from "../../../gen/flwr/proto/message_pb.ts";
import { ScalarSchema } from "../../../gen/flwr/proto/transport_pb.ts";
import {
  type ConfigValue,
  configFromScalars,
  flattenConfig,
  fuseConfig,
  scalarsFromConfig,
} from "../../../src/appio/runtime/config-values.ts";

test("each kind of value survives the wire as the scalar that Flower writes", () => {
  const config = { flag: false, lr: 5, rounds: -(2n ** 63n), name: "" };
  const scalars = scalarsFromConfig(config);
  expect(Object.entries(scalars).map(([key, { scalar }]) => [key, scalar.case])).toEqual([
    ["flag", "bool"],
    ["lr", "double"],
    ["rounds", "sint64"],
    ["name", "string"],
  ]);
  const bytes = toBinary(ContextSchema, create(ContextSchema, { runConfig: scalars }));
  expect({ ...configFromScalars(fromBinary(ContextSchema, bytes).runConfig) }).toEqual(config);
});

test.each([2n ** 63n, -(2n ** 63n) - 1n])(
  "refuses the integer %s, which sint64 cannot hold",
  (value) => {
    expect(() => scalarsFromConfig({ big: value })).toThrow(
      'config value "big" does not fit into 64 bits',
    );
  },
);

test("refuses bytes and values that are not set, naming the key", () => {
  const bytes = create(ScalarSchema, { scalar: { case: "bytes", value: new Uint8Array(1) } });
  expect(() => configFromScalars({ blob: bytes })).toThrow('config value "blob" is bytes');
  expect(() => configFromScalars({ hole: create(ScalarSchema) })).toThrow(
    'config value "hole" is not set',
  );
});

test("a nested config becomes dotted keys", () => {
  const config = flattenConfig({ model: { layers: 2, opt: { name: "sgd" } }, fast: true });
  expect({ ...config }).toEqual({ "model.layers": 2, "model.opt.name": "sgd", fast: true });
});

test.each([
  [{ a: { b: [1] } }, "a.b"],
  [{ a: null }, "a"],
])("refuses %j as config, naming the key", (nested, key) => {
  expect(() => flattenConfig(nested)).toThrow(`config value "${key}" must be`);
});

test("an override replaces the default of its key and leaves the others", () => {
  const fused = fuseConfig({ rounds: 3, name: "a" }, { name: "b" });
  expect({ ...fused }).toEqual({ rounds: 3, name: "b" });
});

test("refuses an override without a default: it is a misspelt key", () => {
  expect(() => fuseConfig({ rounds: 3 }, { round: 5n })).toThrow(
    `run config "round" is not in the app's default config`,
  );
  expect(() => fuseConfig({}, { toString: "x" })).toThrow('run config "toString"');
});

test.each<[ConfigValue, ConfigValue, ConfigValue]>([
  [3, 5n, 5],
  [3n, 5, 5n],
  [3n, 5.5, 5.5],
  [3, 2n ** 53n + 1n, 2n ** 53n + 1n],
  ["3", 5n, 5n],
])("with the default %s, the override %s is read as %s", (byDefault, override, expected) => {
  expect(fuseConfig({ key: byDefault }, { key: override }).key).toBe(expected);
});

test("a key named __proto__ is a key like any other", () => {
  const config = flattenConfig(JSON.parse('{"__proto__": 1}'));
  expect(Object.keys(config)).toEqual(["__proto__"]);
  expect(Object.keys(fuseConfig(config, config))).toEqual(["__proto__"]);
});
