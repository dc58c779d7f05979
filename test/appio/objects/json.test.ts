import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex, utf8ToBytes } from "@noble/hashes/utils.js";
import { expect, test } from "vitest";
import {
  parseStringMembers,
  writeJsonObject,
  writeJsonString,
} from "../../../src/appio/objects/json.ts";

test("strings are escaped as Python's json.dumps escapes them", () => {
  const points = [
    ...Array.from({ length: 0x10000 }, (_, point) => point).filter(
      (point) => point < 0xd800 || point > 0xdfff,
    ),
    ...Array.from({ length: Math.ceil(0x100000 / 257) }, (_, index) => 0x10000 + 257 * index),
  ];
  const text = writeJsonString(points.map((point) => String.fromCodePoint(point)).join(""));
  expect(text).toHaveLength(429_409);
  // hashlib.sha256(json.dumps(...).encode()) of Python 3.11
  expect(bytesToHex(sha256(utf8ToBytes(text)))).toBe(
    "e1fdebb0648465716c815469b3dcc4fbea2369a9cfc4c176a8fce0fd8cacb233",
  );
});

test("members are separated as Python separates them", () => {
  expect(writeJsonObject([])).toBe("{}");
  expect(
    writeJsonObject([
      ["a/b", "1"],
      ["c", '"d"'],
    ]),
  ).toBe('{"a/b": 1, "c": "d"}');
});

test("reading keeps the order of keys that look like integers", () => {
  const members = parseStringMembers(' {"b":"1" , "10" : "2","2":"3", "__proto__": "\\u00e9\\""} ');
  expect(Array.from(members)).toEqual([
    ["b", "1"],
    ["10", "2"],
    ["2", "3"],
    ["__proto__", 'é"'],
  ]);
});

test("of a key that occurs twice the last value counts, in the first place", () => {
  const members = parseStringMembers('{"a": "1", "b": "2", "a": "3"}');
  expect(Array.from(members)).toEqual([
    ["a", "3"],
    ["b", "2"],
  ]);
});

test.each([
  "",
  "[]",
  "{",
  "}",
  "{}}",
  '{"a"}',
  '{"a":}',
  '{"a": 1}',
  '{"a": null}',
  '{"a": "b",}',
  '{"a": "b" "c": "d"}',
  '{"a": "b"',
  '{"a": "b',
  '{"a": "\\x"}',
  '{"a": "\n"}',
  "{'a': 'b'}",
  '{"\\ud800": "a"}',
  '{"a": "b"} x',
  '{"a": "b"}\u00a0',
  '\ufeff{"a": "b"}',
])("reading refuses %j", (text) => {
  expect(() => parseStringMembers(text)).toThrow(SyntaxError);
});
