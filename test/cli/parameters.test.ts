import { describe, expect, test } from "vitest";
import { maxNewRuns } from "../../src/appio/state/new-runs.ts";
import {
  collectSettings,
  parseBytes,
  parseCount,
  parsePort,
  parseRunCount,
  parseRunId,
  parseServiceUrl,
  parseSetting,
} from "../../src/cli/parameters.ts";

describe("parseSetting", () => {
  test.each([
    ["a=true", ["a", true]],
    ["a=false", ["a", false]],
    ["a=10", ["a", 10n]],
    ["a=-3", ["a", -3n]],
    ["a=18446744073709551615", ["a", 18446744073709551615n]],
    ["a=0.5", ["a", 0.5]],
    ["a=1e-3", ["a", 0.001]],
    ["a=1.", ["a", 1]],
    ["a.b=text", ["a.b", "text"]],
    ["a=", ["a", ""]],
    ["a=b=c", ["a", "b=c"]],
    ['a="3"', ["a", "3"]],
    ["a=True", ["a", "True"]],
    ["a=/tmp/x.bin", ["a", "/tmp/x.bin"]],
  ])("reads %s", (text, expected) => {
    expect(parseSetting(text)).toEqual(expected);
  });

  test.each(["a", "=1", "", "a b=1"])("refuses %j", (text) => {
    expect(() => parseSetting(text)).toThrow("Expected key=value.");
  });
});

test("of a repeated key the last value wins", () => {
  expect(collectSettings("a=2", collectSettings("b=x", collectSettings("a=1")))).toEqual({
    a: 2n,
    b: "x",
  });
});

test.each(["0", "18446744073709551616", "-1", "1.5", "abc", ""])(
  "refuses the run id %j",
  (text) => {
    expect(() => parseRunId(text)).toThrow("Expected a run id");
  },
);

test("reads a run id above 2^53 exactly", () => {
  expect(parseRunId("13435957246453124737")).toBe(13435957246453124737n);
});

test("ports go from 0 to 65535, counts begin at 1", () => {
  expect(parsePort("0")).toBe(0);
  expect(() => parsePort("65536")).toThrow("from 0 to 65535");
  expect(() => parsePort("1e3")).toThrow("Expected a whole number");
  expect(() => parseCount("0")).toThrow("from 1");
});

test("as many runs are created as a SuperLink creates in one call", () => {
  expect(parseRunCount(String(maxNewRuns))).toBe(maxNewRuns);
  expect(() => parseRunCount(String(maxNewRuns + 1))).toThrow("from 1 to 1000");
});

test("a size may be nothing at all, but no fraction", () => {
  expect(parseBytes("0")).toBe(0);
  expect(parseBytes("67108864")).toBe(67_108_864);
  expect(() => parseBytes("1.5")).toThrow("Expected a whole number");
});

test.each(["127.0.0.1:9091", "ftp://a", "", "http://a?b", "http://a#b"])(
  "refuses the service URL %j",
  (text) => {
    expect(() => parseServiceUrl(text)).toThrow("Expected a URL");
  },
);

test("a service URL loses its trailing slash", () => {
  expect(parseServiceUrl("http://[::1]:9091/")).toBe("http://[::1]:9091");
});
