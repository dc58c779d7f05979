import { create } from "@bufbuild/protobuf";
import { type Scalar, ScalarSchema } from "../../../gen/flwr/proto/transport_pb.ts";

/**
 * One value of a run's or a node's configuration. JavaScript has one number
 * type, the wire has two: a `number` travels as double, a `bigint` as sint64.
 */
export type ConfigValue = boolean | number | bigint | string;

/** Configuration by key. Nested keys are joined with dots, as in `model.layers`. */
export type ConfigValues = Readonly<Record<string, ConfigValue>>;

/** The wire's form of {@link ConfigValues}: `Context.run_config`, `Run.override_config`. */
export type ScalarMap = Readonly<Record<string, Scalar>>;

const minSint64 = -(2n ** 63n);
const maxSint64 = 2n ** 63n - 1n;

/**
 * Reads a configuration from the wire. `uint64` is read as bigint, although no
 * config writes it.
 *
 * @throws TypeError naming the key when a value is bytes or not set: neither
 * is a config value.
 */
export function configFromScalars(scalars: ScalarMap): ConfigValues {
  const values = emptyConfig();
  for (const [key, { scalar }] of Object.entries(scalars)) {
    if (scalar.case === undefined || scalar.case === "bytes") {
      throw new TypeError(`config value "${key}" is ${scalar.case ?? "not set"}`);
    }
    values[key] = scalar.value;
  }
  return values;
}

/**
 * Writes a configuration for the wire.
 *
 * @throws TypeError naming the key when a bigint does not fit into a signed
 * 64-bit integer, which is what configs carry.
 */
export function scalarsFromConfig(values: ConfigValues): Record<string, Scalar> {
  const scalars: Record<string, Scalar> = Object.create(null);
  for (const [key, value] of Object.entries(values)) {
    scalars[key] = create(ScalarSchema, { scalar: scalarOf(key, value) });
  }
  return scalars;
}

function scalarOf(key: string, value: ConfigValue): Scalar["scalar"] {
  switch (typeof value) {
    case "boolean":
      return { case: "bool", value };
    case "number":
      return { case: "double", value };
    case "string":
      return { case: "string", value };
    case "bigint":
      if (value < minSint64 || value > maxSint64) {
        throw new TypeError(`config value "${key}" does not fit into 64 bits`);
      }
      return { case: "sint64", value };
    default:
      throw new TypeError(`config value "${key}" must be boolean, number, bigint or string`);
  }
}

/**
 * Flattens nested configuration, such as a bundle's defaults from JSON, by
 * joining keys with dots.
 *
 * @throws TypeError naming the key when a value is neither a
 * {@link ConfigValue} nor a plain object of them.
 */
export function flattenConfig(nested: unknown): ConfigValues {
  const values = emptyConfig();
  if (!isPlainObject(nested)) {
    throw new TypeError('"config" must be an object of config values');
  }
  flattenInto(values, nested, "");
  return values;
}

function flattenInto(values: Record<string, ConfigValue>, nested: object, prefix: string): void {
  for (const [name, value] of Object.entries(nested)) {
    const key = `${prefix}${name}`;
    if (isPlainObject(value)) {
      flattenInto(values, value, `${key}.`);
    } else if (isConfigValue(value)) {
      values[key] = value;
    } else {
      throw new TypeError(
        `config value "${key}" must be boolean, number, bigint or string, or an object of those`,
      );
    }
  }
}

/**
 * Fuses a bundle's default configuration with a run's overrides: an override
 * replaces the default of its key. Between double and integer the default
 * decides, where the value allows it without loss: defaults often come from
 * JSON, which has no integers, overrides from a command line, which has.
 *
 * @throws TypeError naming the key when an override has no default
 * (Flower's `fuse_dicts` refuses it as well: it is a misspelt key).
 */
export function fuseConfig(defaults: ConfigValues, overrides: ConfigValues): ConfigValues {
  const fused = Object.assign(emptyConfig(), defaults);
  for (const [key, value] of Object.entries(overrides)) {
    const byDefault = Object.hasOwn(defaults, key) ? defaults[key] : undefined;
    if (byDefault === undefined) {
      throw new TypeError(`run config "${key}" is not in the app's default config`);
    }
    fused[key] = inTheTypeOf(byDefault, value);
  }
  return fused;
}

function inTheTypeOf(byDefault: ConfigValue, value: ConfigValue): ConfigValue {
  if (typeof byDefault === "number" && typeof value === "bigint") {
    const asDouble = Number(value);
    return BigInt(asDouble) === value ? asDouble : value;
  }
  if (typeof byDefault === "bigint" && typeof value === "number" && Number.isInteger(value)) {
    return BigInt(value);
  }
  return value;
}

/** Without a prototype, so that a key such as `__proto__` is a key like any other. */
function emptyConfig(): Record<string, ConfigValue> {
  return Object.create(null);
}

function isConfigValue(value: unknown): value is ConfigValue {
  return ["boolean", "number", "bigint", "string"].includes(typeof value);
}

function isPlainObject(value: unknown): value is object {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
