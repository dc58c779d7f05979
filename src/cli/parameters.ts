import { InvalidArgumentError } from "commander";
import type { ConfigValue } from "../appio/runtime/config-values.ts";
import { UsageError } from "./exit-code.ts";

/**
 * Reads one `key=value` of a configuration. `true` and `false` are booleans, whole numbers integers, other numbers
 * doubles, all else is text; quotes make text of anything: `name="3"`.
 */
export function parseSetting(text: string): [key: string, value: ConfigValue] {
  const [, key, value] = /^([^=\s]+)=(.*)$/s.exec(text) ?? [];
  if (key === undefined || value === undefined) {
    throw new InvalidArgumentError("Expected key=value.");
  }
  return [key, parseValue(value)];
}

/** Collects `key=value` options, the last of a key wins. For commander's `argParser`. */
export function collectSettings(
  text: string,
  previous: Readonly<Record<string, ConfigValue>> = {},
): Readonly<Record<string, ConfigValue>> {
  return Object.fromEntries([...Object.entries(previous), parseSetting(text)]);
}

/** A TCP port, 0 for any free one. */
export function parsePort(text: string): number {
  return parseWhole(text, 0, 65_535);
}

/** A duration in milliseconds. */
export function parseMilliseconds(text: string): number {
  return parseWhole(text, 1, 86_400_000);
}

/** A number of things, at least one. */
export function parseCount(text: string): number {
  return parseWhole(text, 1, 10_000);
}

/** A number of runs: as many as a SuperLink creates in one call. */
export function parseRunCount(text: string): number {
  return parseWhole(text, 1, 1_000);
}

/** A size in bytes, 0 for nothing at all. */
export function parseBytes(text: string): number {
  return parseWhole(text, 0, Number.MAX_SAFE_INTEGER);
}

/** A run's id: an unsigned 64-bit integer other than 0. */
export function parseRunId(text: string): bigint {
  const id = /^[0-9]{1,20}$/.test(text) ? BigInt(text) : 0n;
  if (id === 0n || id >= 2n ** 64n) {
    throw new InvalidArgumentError(
      `Expected a run id: a whole number from 1 to ${2n ** 64n - 1n}.`,
    );
  }
  return id;
}

/**
 * The URL of a service, without the slash at its end.
 *
 * @throws UsageError when it names a user, whose password would be in every message about the service
 */
export function parseServiceUrl(text: string): string {
  const url = URL.parse(text);
  // Not what the URL says: in one that cannot be parsed the password is in another part, or in none.
  if (text.includes("@")) {
    throw new UsageError(
      "The URL of a service must not hold a user name or password: services take tokens and signatures only.",
    );
  }
  if (url === null || !["http:", "https:"].includes(url.protocol) || /[?#]/.test(text)) {
    throw new InvalidArgumentError("Expected a URL such as http://127.0.0.1:9091.");
  }
  return text.replace(/\/+$/, "");
}

function parseValue(text: string): ConfigValue {
  if (text === "true") return true;
  if (text === "false") return false;
  const [, quoted] = /^"(.*)"$/s.exec(text) ?? [];
  if (quoted !== undefined) return quoted;
  if (/^[+-]?[0-9]+$/.test(text)) return BigInt(text);
  if (/^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?$/i.test(text)) return Number(text);
  return text;
}

function parseWhole(text: string, least: number, most: number): number {
  const value = /^[0-9]+$/.test(text) ? Number(text) : Number.NaN;
  if (!(value >= least && value <= most)) {
    throw new InvalidArgumentError(`Expected a whole number from ${least} to ${most}.`);
  }
  return value;
}
