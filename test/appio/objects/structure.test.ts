import { describe, expect, test } from "vitest";
import { objectIdOf } from "../../../src/appio/objects/object-id.ts";
import {
  assertObjectStructure,
  ObjectStructureError,
  objectTypes,
  parseObject,
} from "../../../src/appio/objects/structure.ts";

const id = "0123456789abcdef".repeat(4);
const utf8 = (text: string) => new TextEncoder().encode(text);

/** Contract 5.5: structure of an object, with Flower's texts. */
describe("case 48: the structure of an object", () => {
  test.each([
    [
      "no separator",
      utf8("ConfigRecord  0"),
      "Unexpected format for object content. Head and body could not be split.",
    ],
    [
      "nothing at all",
      new Uint8Array(),
      "Unexpected format for object content. Head and body could not be split.",
    ],
    ["an empty head", utf8("\0"), "Unexpected format for object head."],
    ["a head of two parts", utf8("ConfigRecord 0\0"), "Unexpected format for object head."],
    ["a head of four parts", utf8("ConfigRecord  0 \0"), "Unexpected format for object head."],
    [
      "a head that is not UTF-8",
      Uint8Array.of(0xff, 0x20, 0x20, 0x30, 0),
      "The object head is not UTF-8.",
    ],
    [
      "a child that is no id",
      utf8("RecordDict invalid 2\0{}"),
      "Detected invalid object ID (invalid) in children.",
    ],
    [
      "a child id that is too short",
      utf8(`RecordDict ${id},${id.slice(1)} 2\0{}`),
      `Detected invalid object ID (${id.slice(1)}) in children.`,
    ],
    [
      "an unknown type",
      utf8("ParametersRecord  0\0"),
      "Object of type ParametersRecord is not supported.",
    ],
    ["no type", utf8("  0\0"), "Object of type  is not supported."],
    ["a type in other case", utf8("message  0\0"), "Object of type message is not supported."],
    [
      "a body that is too short",
      utf8("ConfigRecord  2\0a"),
      "Object content length expected 2 bytes but got 1 bytes.",
    ],
    [
      "a body that is too long",
      utf8("ConfigRecord  2\0abc"),
      "Object content length expected 2 bytes but got 3 bytes.",
    ],
    [
      "a length that is no number",
      utf8("ConfigRecord  x\0"),
      "Object content length expected x bytes but got 0 bytes.",
    ],
    [
      "no length",
      utf8("ConfigRecord  \0"),
      "Object content length expected  bytes but got 0 bytes.",
    ],
    [
      "a negative length",
      utf8("ConfigRecord  -0\0"),
      "Object content length expected -0 bytes but got 0 bytes.",
    ],
    [
      "a length in another notation",
      utf8("ConfigRecord  1e0\0a"),
      "Object content length expected 1e0 bytes but got 1 bytes.",
    ],
  ])("refuses %s", (_, content, reason) => {
    const text = `Object with ID '${objectIdOf(content)}' has an unexpected structure. ${reason}`;
    expect(() => assertObjectStructure(content)).toThrow(ObjectStructureError);
    expect(() => assertObjectStructure(content)).toThrow(
      new RegExp(`^${text.replace(/[().]/g, "\\$&")}$`),
    );
  });

  test("names the id that the caller knows already", () => {
    expect(() => assertObjectStructure(utf8("x"), "abc")).toThrow("Object with ID 'abc' has");
  });

  test.each(objectTypes)("accepts type %s, whatever the body holds", (type) => {
    const content = utf8(`${type} ${id},${id.toUpperCase()} 3\0\0\0x`);
    expect(parseObject(content)).toEqual({
      type,
      childIds: [id, id.toUpperCase()],
      body: utf8("\0\0x"),
    });
  });

  test("the body is a view, not a copy", () => {
    const content = utf8("ArrayChunk  2\0ab");
    expect(parseObject(content).body.buffer).toBe(content.buffer);
  });
});
