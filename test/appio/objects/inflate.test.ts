import { create, toBinary } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import { MessageSchema } from "../../../gen/flwr/proto/message_pb.ts";
import { ConfigRecordSchema } from "../../../gen/flwr/proto/recorddict_pb.ts";
import { ArrayChunk } from "../../../src/appio/objects/array-chunk.ts";
import { ArrayRecord } from "../../../src/appio/objects/array-record.ts";
import { joinPieces } from "../../../src/appio/objects/bytes.ts";
import { ConfigRecord } from "../../../src/appio/objects/config-record.ts";
import { type ContentObject, InflateError } from "../../../src/appio/objects/content-object.ts";
import { contentOf, contentsOf, deflate } from "../../../src/appio/objects/deflate.ts";
import { inflate, inflateMessage } from "../../../src/appio/objects/inflate.ts";
import { Message } from "../../../src/appio/objects/message.ts";
import { MetricRecord } from "../../../src/appio/objects/metric-record.ts";
import { NdArray } from "../../../src/appio/objects/nd-array.ts";
import { objectIdOf } from "../../../src/appio/objects/object-id.ts";
import { RecordDict } from "../../../src/appio/objects/record-dict.ts";
import { encodeHead, type ObjectType } from "../../../src/appio/objects/structure.ts";

const chunk = new ArrayChunk(Uint8Array.of(1, 2, 3));
const array = new NdArray({
  dtype: "uint8",
  shape: [3],
  stype: "raw",
  data: Uint8Array.of(1, 2, 3),
});
const arrays = new ArrayRecord({ w: array });
const config = new ConfigRecord({ lr: 0.1 });
const metrics = new MetricRecord({ loss: 1 });
const dict = new RecordDict({ config });
const message = new Message({
  content: dict,
  messageType: "train",
  dstNodeId: 2n,
  now: () => 1e12,
});

const idOf = (object: ContentObject) => deflate(object).id;
const contentOfObject = (object: ContentObject) => contentOf(deflate(object));
const childrenOf = (...objects: ContentObject[]) =>
  new Map(objects.map((object) => [idOf(object), object]));

/** An object of one's own making, right in structure. */
function craft(
  type: ObjectType,
  childIds: readonly string[],
  body: string | Uint8Array,
): Uint8Array {
  const bytes = typeof body === "string" ? new TextEncoder().encode(body) : body;
  return joinPieces([encodeHead(type, childIds, bytes.length), bytes]);
}

/** Contract 7.2. */
describe("the type in the head must be the expected one", () => {
  const other = (object: ContentObject) => (object === config ? metrics : config);
  test.each([
    ["Message", Message, message],
    ["RecordDict", RecordDict, dict],
    ["ArrayRecord", ArrayRecord, arrays],
    ["MetricRecord", MetricRecord, metrics],
    ["ConfigRecord", ConfigRecord, config],
    ["Array", NdArray, array],
    ["ArrayChunk", ArrayChunk, chunk],
  ] as const)("%s", (type, { inflate }, object) => {
    const wrong = other(object);
    expect(() => inflate(contentOfObject(wrong))).toThrow(InflateError);
    expect(() => inflate(contentOfObject(wrong))).toThrow(
      `Expected an object of type ${type}, but its head says ${wrong.objectType}.`,
    );
  });

  test("an unknown type or a broken structure is an InflateError too", () => {
    const content = new TextEncoder().encode("CustomDataClass  0\0");
    expect(() => inflate("x", new Map([["x", content]]))).toThrow(InflateError);
    expect(() => inflate("x", new Map([["x", content]]))).toThrow(
      "has an unexpected structure. Object of type CustomDataClass is not supported.",
    );
    expect(() => ArrayChunk.inflate(content.subarray(3))).toThrow(InflateError);
  });
});

describe("leaves have no children", () => {
  test.each([
    ["MetricRecord", MetricRecord, metrics],
    ["ConfigRecord", ConfigRecord, config],
    ["ArrayChunk", ArrayChunk, chunk],
  ] as const)("%s", (type, { inflate }, object) => {
    const text = `An object of type ${type} must have no children.`;
    expect(() => inflate(contentOfObject(object), childrenOf(dict))).toThrow(text);
    expect(() => inflate(craft(type, [idOf(dict)], new Uint8Array()))).toThrow(text);
    expect(() => inflate(craft(type, [idOf(dict)], new Uint8Array()))).toThrow(InflateError);
  });
});

describe("a message's children must be exactly those of its head", () => {
  const content = contentOfObject(message);

  test.each([
    ["none", childrenOf(), "none"],
    ["another", childrenOf(new RecordDict()), idOf(new RecordDict())],
    [
      "one too many",
      childrenOf(dict, new RecordDict()),
      `${idOf(dict)}, ${idOf(new RecordDict())}`,
    ],
  ])("%s", (_, children, got) => {
    expect(() => Message.inflate(content, children)).toThrow(InflateError);
    expect(() => Message.inflate(content, children)).toThrow(
      `The children of the Message object must be exactly those of its head: expected ${idOf(dict)}, but got ${got}.`,
    );
  });

  test("a child of another type", () => {
    const crafted = craft(
      "Message",
      [idOf(config)],
      toBinary(MessageSchema, create(MessageSchema)),
    );
    expect(() => Message.inflate(crafted, childrenOf(config))).toThrow(
      "A child of a Message object cannot be of type ConfigRecord.",
    );
  });

  test("neither content nor error", () => {
    const crafted = craft("Message", [], toBinary(MessageSchema, create(MessageSchema)));
    expect(() => Message.inflate(crafted)).toThrow(
      "A Message object must have content or an error.",
    );
  });

  test("an error wins, as in Flower, even when there is a child", () => {
    const body = toBinary(MessageSchema, create(MessageSchema, { error: { code: 3n } }));
    const inflated = Message.inflate(craft("Message", [idOf(dict)], body), childrenOf(dict));
    expect([inflated.hasError(), inflated.hasContent(), inflated.error]).toEqual([
      true,
      false,
      { code: 3 },
    ]);
  });

  test("an error code that no number can be", () => {
    const body = toBinary(MessageSchema, create(MessageSchema, { error: { code: 2n ** 60n } }));
    expect(() => Message.inflate(craft("Message", [], body))).toThrow(
      "The error code 1152921504606846976 of the message is out of range.",
    );
  });

  test("its id is empty after inflation, and the object id after inflateMessage", () => {
    const named = message.withMetadata({ messageId: "something" });
    const contents = new Map(contentsOf(deflate(named)));
    expect(Message.inflate(content, childrenOf(dict)).metadata.messageId).toBe("");
    expect(inflateMessage(idOf(named), contents).metadata.messageId).toBe(idOf(message));
  });

  test("what is no message is not taken for one", () => {
    const contents = new Map(contentsOf(deflate(dict)));
    expect(() => inflateMessage(idOf(dict), contents)).toThrow(
      "Expected an object of type Message, but got RecordDict.",
    );
  });
});

describe("head, body and children of a record must name the same ids", () => {
  const some = idOf(config);
  test.each([
    ["RecordDict", RecordDict, config],
    ["ArrayRecord", ArrayRecord, array],
  ] as const)("%s", (type, { inflate }, child) => {
    const id = idOf(child);
    const body = `{"a": "${id}"}`;
    const children = childrenOf(child);
    const expected = (place: string, ids: string, got: string) =>
      `The children of the ${type} object are not those of its ${place}: expected ${ids}, but got ${got}.`;

    expect(() => inflate(craft(type, [id], body), childrenOf())).toThrow(InflateError);
    expect(() => inflate(craft(type, [id], body), childrenOf())).toThrow(
      expected("head", id, "none"),
    );
    expect(() => inflate(craft(type, [], body), children)).toThrow(expected("head", "none", id));
    expect(() => inflate(craft(type, [id], "{}"), children)).toThrow(expected("body", "none", id));
    expect(() => inflate(craft(type, [id], `{"a": "${id}", "b": "x"}`), children)).toThrow(
      expected("body", `${id}, x`, id),
    );
    expect(() => inflate(craft(type, [], "{}"), childrenOf(dict))).toThrow(
      expected("head", "none", idOf(dict)),
    );
    expect(inflate(craft(type, [id], body), children).get("a")).toBe(child);
  });

  test("a child of another type", () => {
    expect(() =>
      ArrayRecord.inflate(craft("ArrayRecord", [some], `{"a": "${some}"}`), childrenOf(config)),
    ).toThrow("A child of a ArrayRecord object cannot be of type ConfigRecord.");
    const id = idOf(array);
    expect(() =>
      RecordDict.inflate(craft("RecordDict", [id], `{"a": "${id}"}`), childrenOf(array)),
    ).toThrow("A child of a RecordDict object cannot be of type Array.");
  });

  test.each([
    [
      "text that is not JSON",
      "{'a': 'b'}",
      "The body of the RecordDict object cannot be read: SyntaxError",
    ],
    ["another JSON type", "[]", "The body of the RecordDict object cannot be read: SyntaxError"],
    [
      "bytes that are not UTF-8",
      Uint8Array.of(0xff),
      "The body of the RecordDict object is not UTF-8.",
    ],
    [
      "a key with a lone surrogate",
      '{"\\ud800": "a"}',
      "The body of the RecordDict object cannot be read: SyntaxError",
    ],
  ])("a body of %s", (_, body, text) => {
    expect(() => RecordDict.inflate(craft("RecordDict", [], body))).toThrow(text);
    expect(() => RecordDict.inflate(craft("RecordDict", [], body))).toThrow(InflateError);
  });
});

describe("the chunks of an array must be those of its head and its body", () => {
  const id = idOf(chunk);
  const children = childrenOf(chunk);
  const body = (indexes: string, shape = "[3]") =>
    `{"dtype": "uint8", "shape": ${shape}, "stype": "raw", "arraychunk_ids": ${indexes}}`;

  test("a chunk may occur several times", () => {
    const inflated = NdArray.inflate(craft("Array", [id], body("[0, 0]")), children);
    expect(inflated.toBytes()).toEqual(Uint8Array.of(1, 2, 3, 1, 2, 3));
  });

  test.each([
    ["an index beyond the head", [id], "[0, 1]", "The Array object refers to chunk 1 of 1."],
    ["a negative index", [id], "[-1]", "The Array object refers to chunk -1 of 1."],
    [
      "a chunk that is not used",
      [id],
      "[]",
      `are not those of its body: expected none, but got ${id}.`,
    ],
    [
      "a chunk that the head lacks",
      [],
      "[]",
      `are not those of its head: expected none, but got ${id}.`,
    ],
    ["ids instead of indexes", [id], `["${id}"]`, '"arraychunk_ids" must be a list of integers'],
    ["no list", [id], "0", '"arraychunk_ids" must be a list of integers'],
    ["a fraction", [id], "[0.5]", '"arraychunk_ids" must be a list of integers'],
  ])("%s", (_, head, indexes, text) => {
    expect(() => NdArray.inflate(craft("Array", head, body(indexes)), children)).toThrow(
      InflateError,
    );
    expect(() => NdArray.inflate(craft("Array", head, body(indexes)), children)).toThrow(text);
  });

  test("a chunk that is not given", () => {
    expect(() => NdArray.inflate(craft("Array", [id], body("[0]")))).toThrow(
      `are not those of its head: expected ${id}, but got none.`,
    );
  });

  test("a child of another type", () => {
    expect(() =>
      NdArray.inflate(craft("Array", [idOf(config)], body("[0]")), childrenOf(config)),
    ).toThrow("A child of a Array object cannot be of type ConfigRecord.");
  });

  test.each([
    [
      "a shape that is none",
      body("[0]", "[-1]"),
      '"shape" must be a list of integers from 0 to 2^31-1',
    ],
    ["no object", "null", "expected a JSON object"],
    ["no dtype", '{"shape": [], "stype": "", "arraychunk_ids": [0]}', '"dtype" must be a string'],
    [
      "an inherited member",
      '{"__proto__": {"dtype": "x"}, "shape": [], "stype": "", "arraychunk_ids": [0]}',
      '"dtype" must be a string',
    ],
    [
      "a dtype with a lone surrogate",
      '{"dtype": "\\ud800", "shape": [], "stype": "", "arraychunk_ids": [0]}',
      '"dtype" must be a string',
    ],
    [
      "a stype that is no string",
      '{"dtype": "x", "shape": [], "stype": 1, "arraychunk_ids": [0]}',
      '"stype" must be a string',
    ],
  ])("a body with %s", (_, text, error) => {
    expect(() => NdArray.inflate(craft("Array", [id], text), children)).toThrow(
      `The body of the Array object cannot be read: `,
    );
    expect(() => NdArray.inflate(craft("Array", [id], text), children)).toThrow(error);
  });
});

describe("bodies in protobuf", () => {
  test.each([
    ["Message", Message],
    ["MetricRecord", MetricRecord],
    ["ConfigRecord", ConfigRecord],
  ] as const)("a %s of garbage", (type, { inflate }) => {
    const garbage = craft(type, [], Uint8Array.of(0x0a, 0xff, 0xff));
    expect(() => inflate(garbage)).toThrow(InflateError);
    expect(() => inflate(garbage)).toThrow(`The body of the ${type} object cannot be decoded: `);
  });

  test("an item without a value", () => {
    const proto = create(ConfigRecordSchema, { items: [{ key: "k" }] });
    expect(() =>
      ConfigRecord.inflate(craft("ConfigRecord", [], toBinary(ConfigRecordSchema, proto))),
    ).toThrow('key "k" has no value');
  });
});

describe("whole trees", () => {
  test("a missing content is named", () => {
    const contents = new Map(contentsOf(deflate(message)));
    contents.delete(idOf(config));
    expect(() => inflateMessage(idOf(message), contents)).toThrow(InflateError);
    expect(() => inflateMessage(idOf(message), contents)).toThrow(
      `The content of object ${idOf(config)} is missing.`,
    );
  });

  test("an object that is its own descendant ends at the types, not in a loop", () => {
    const id = "a".repeat(64);
    const loop = craft("RecordDict", [id], `{"a": "${id}"}`);
    expect(() => inflate(id, new Map([[id, loop]]))).toThrow(
      "A child of a RecordDict object cannot be of type RecordDict.",
    );
  });

  test("an object found again under another parent must fit there too", () => {
    const content = craft("RecordDict", [idOf(arrays), idOf(array)], "{}");
    const contents = new Map([
      ...contentsOf(deflate(arrays)),
      [objectIdOf(content), content] as const,
    ]);
    expect(() => inflate(objectIdOf(content), contents)).toThrow(
      "A child of a RecordDict object cannot be of type Array.",
    );
  });

  test("what two records share is one object", () => {
    const twice = new RecordDict({
      a: new ArrayRecord({ w: array }),
      b: new ArrayRecord({ v: array }),
    });
    const back = inflate(idOf(twice), new Map(contentsOf(deflate(twice))));
    expect(back instanceof RecordDict && back.getArrayRecord("a").get("w")).toBe(
      back instanceof RecordDict && back.getArrayRecord("b").get("v"),
    );
  });
});
