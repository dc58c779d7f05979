import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { bytesToHex, hexToBytes } from "@noble/hashes/utils.js";
import { describe, expect, test } from "vitest";
import { PushAppMessagesRequestSchema } from "../../../gen/flwr/proto/appio_pb.ts";
import { ArrayChunk } from "../../../src/appio/objects/array-chunk.ts";
import { ArrayRecord } from "../../../src/appio/objects/array-record.ts";
import { joinPieces } from "../../../src/appio/objects/bytes.ts";
import { ConfigRecord } from "../../../src/appio/objects/config-record.ts";
import type { ContentObject } from "../../../src/appio/objects/content-object.ts";
import { contentsOf, deflate, treeOf } from "../../../src/appio/objects/deflate.ts";
import { inflate, inflateMessage } from "../../../src/appio/objects/inflate.ts";
import { Message } from "../../../src/appio/objects/message.ts";
import { MetricRecord } from "../../../src/appio/objects/metric-record.ts";
import { NdArray } from "../../../src/appio/objects/nd-array.ts";
import { objectIdsOf } from "../../../src/appio/objects/object-tree.ts";
import { RecordDict } from "../../../src/appio/objects/record-dict.ts";

/** Contract 7.5: every id below was produced by Flower's Python code. */
const ids = {
  e1: "a5fc9cb09319dc373f7a8f11a799fd0d90c359120fd6241c230de34a4f93be3e",
  e2: "c68161c7561379629cbba143e65d069f43f30d933d924a2770859737e0b0d117",
  e3: "92e56e10c672eb0057081182a173e1a861c62c6ce2efe9ce5c9a298f69e96d85",
  e4: "fab1d54fe101e94e092e8a4efc3c72b52fe1198c6af2aa4ec768d013e78854c5",
  e5: "7008fa1584ebea2768049518dfbaa56c4a3d236a74afd7dd4bcde148cbc4d0b2",
  e6: "6144a4e29fdc7397a503aa84d8003a4fab8f700c06e491832e2b1db727f4fb20",
  e7: "0bd55c552a4d962cf4398ecd7b71d1a05377410b9b904603b85f1760b8928530",
  e8: "9a6df3451aa0b992591a9034c8bd92ed282fdd133b06f879662523e78df61e38",
  e9: "a35d5fe57a9959d706cbbae18973bdbb33337f847d7ed341e54e8a5a4b8c33c5",
  e10: "c52d510a35590c6c52266ad107014ce13411d13a09e4547d17714235989cb276",
  e11: "0ecd0b3d51e86e79437ccdd08bc416a4e0494d795d25d5b06fa16f7db3b00be7",
  e12: "2a9ab54fd10c2141e9fd3679ee7d897841af741c474cbe6092468cf2e4c20b65",
  e13: "36dba663fc47339924b9e07f05a0e68241c88c315453a1064699fb0394a56182",
  e14: "1133afa00c7fd104f79e6534c00b4e414b40646315fdb42c7d917d3388b0480c",
  e15: "50bdf8ec5f1f3c3069086bd530ea8b1edcacd50ffa700439e7a25b00265e06ca",
  e16: "c001ed6bb94f6d1e272b7b7ddea679564a36307662b0288f993e70a6ce7bf8f6",
  e17: "cb1eb2943b46d63d2023f1441d67c240b728904e056df5c4b1a05bddaab4a09a",
  coverage: "2b696d5ec5dcebd92631dac3efa427f80e627f002b997743bbe7f5fcf0afc665",
} as const;

const npyE7 =
  "934e554d5059010076007b276465736372273a20273c6634272c2027666f727472616e5f6f72646572273a2046616c73652c20277368617065273a2028322c2032292c207d" +
  "20".repeat(58) +
  "0a0000803f000000400000404000008040";

const e5 = new ConfigRecord({ lr: 0.1, "batch-size": 128n });
const e6 = new MetricRecord({ accuracy: 0.93, losses: [0.23, 0.1], n: 5n, i: [1n, 2n], e: [] });
const square = () => NdArray.from(new Float32Array([1, 2, 3, 4]), [2, 2]);
const e8 = square();
const e11 = NdArray.from(new BigInt64Array([0n, 1n, 2n]));
const e13 = new RecordDict({ cfg: e5 });
const e15 = new Message(
  {
    runId: 13435957246453124737n,
    messageId: "",
    srcNodeId: 1n,
    dstNodeId: 9876543210n,
    replyToMessageId: "",
    groupId: "1",
    ttlSeconds: 3600,
    messageType: "train",
    createdAtSeconds: 1774500000.5,
  },
  { content: e13 },
);
const replyMetadata = {
  runId: 7n,
  messageId: "",
  srcNodeId: 9876543210n,
  dstNodeId: 1n,
  replyToMessageId: ids.e15,
  groupId: "1",
  ttlSeconds: 3599.5,
  messageType: "train",
  createdAtSeconds: 1774500001,
};
const asciiE15 = bytesToHex(new TextEncoder().encode(ids.e15));
const errorBody = `0a68080718eaadc0e52420012a40${asciiE15}3201313900000000001fac404205747261696e49000040282e71da41`;

interface Example {
  readonly name: keyof typeof ids;
  readonly what: string;
  readonly object: ContentObject;
  readonly head: string;
  /** Text of the body, or its bytes in hexadecimal. */
  readonly body: string | { readonly hex: string };
}

const examples: readonly Example[] = [
  {
    name: "e1",
    what: "RecordDict {}",
    object: new RecordDict(),
    head: "RecordDict  2",
    body: "{}",
  },
  {
    name: "e2",
    what: "ArrayRecord {}",
    object: new ArrayRecord(),
    head: "ArrayRecord  2",
    body: "{}",
  },
  {
    name: "e3",
    what: "ConfigRecord {}",
    object: new ConfigRecord(),
    head: "ConfigRecord  0",
    body: "",
  },
  {
    name: "e4",
    what: "MetricRecord {}",
    object: new MetricRecord(),
    head: "MetricRecord  0",
    body: "",
  },
  {
    name: "e5",
    what: "ConfigRecord of a double and an integer",
    object: e5,
    head: "ConfigRecord  36",
    body: {
      hex: "0a0f0a026c721209099a9999999999b93f0a110a0a62617463682d73697a651203108002",
    },
  },
  {
    name: "e6",
    what: "MetricRecord of all its types",
    object: e6,
    head: "MetricRecord  89",
    body: {
      hex: "0a150a086163637572616379120909c3f5285c8fc2ed3f0a1f0a066c6f737365731215aa01120a10713d0ad7a370cd3f9a9999999999b93f0a070a016e1202100a0a0c0a01691207b201040a0202040a080a01651203aa0100",
    },
  },
  {
    name: "e7",
    what: "ArrayChunk of a float32 array",
    object: new ArrayChunk(e8.pieces),
    head: "ArrayChunk  144",
    body: { hex: npyE7 },
  },
  {
    name: "e8",
    what: "Array of E7",
    object: e8,
    head: `Array ${ids.e7} 86`,
    body: '{"dtype": "float32", "shape": [2, 2], "stype": "numpy.ndarray", "arraychunk_ids": [0]}',
  },
  {
    name: "e9",
    what: "Array of no dimension",
    object: NdArray.scalar(1.5, "float32"),
    head: "Array ccae9ee23e0330dacd29c5b143c35d3a48b4a2770b0586a6f4770be52e00ffc1 82",
    body: '{"dtype": "float32", "shape": [], "stype": "numpy.ndarray", "arraychunk_ids": [0]}',
  },
  {
    name: "e10",
    what: "Array without data",
    object: new NdArray({ dtype: "float32", shape: [0], data: new Uint8Array() }),
    head: "Array  82",
    body: '{"dtype": "float32", "shape": [0], "stype": "numpy.ndarray", "arraychunk_ids": []}',
  },
  {
    name: "e11",
    what: "Array of int64",
    object: e11,
    head: "Array 4e87fb09f6b671776543202a155e6d3cd7394e2e0c8590091b963d0c57d98ef5 81",
    body: '{"dtype": "int64", "shape": [3], "stype": "numpy.ndarray", "arraychunk_ids": [0]}',
  },
  {
    name: "e12",
    what: "ArrayRecord with the same array twice",
    object: new ArrayRecord({ w: e8, b: e11, w2: square() }),
    head: `ArrayRecord ${ids.e8},${ids.e11} 220`,
    body: `{"w": "${ids.e8}", "b": "${ids.e11}", "w2": "${ids.e8}"}`,
  },
  {
    name: "e13",
    what: "RecordDict of E5",
    object: e13,
    head: `RecordDict ${ids.e5} 75`,
    body: `{"cfg": "${ids.e5}"}`,
  },
  {
    name: "e14",
    what: "RecordDict with a key full of escapes",
    object: new RecordDict({
      model: new ArrayRecord({ w: e8 }),
      cfg: e5,
      'm\u00e9t\u{1f600}\u007f"\\/': new MetricRecord({ accuracy: 0.93 }),
    }),
    head: `RecordDict b41f787437c019063e90bf05eaf81d7ef181bc0fc5dc11cee0db6f8042a8c21f,${ids.e5},e27e14bbe818fdead59d91f072b0b49eeff11caa66b1c05e3b0399988029588a 255`,
    body: `{"model": "b41f787437c019063e90bf05eaf81d7ef181bc0fc5dc11cee0db6f8042a8c21f", "cfg": "${ids.e5}", "m\\u00e9t\\ud83d\\ude00\\u007f\\"\\\\/": "e27e14bbe818fdead59d91f072b0b49eeff11caa66b1c05e3b0399988029588a"}`,
  },
  {
    name: "e15",
    what: "Message of E13",
    object: e15,
    head: `Message ${ids.e13} 49`,
    body: {
      hex: "0a2f08819db2e1dcfd86bbba01180120eaadc0e52432013139000000000020ac404205747261696e49000020282e71da41",
    },
  },
  {
    name: "e16",
    what: "Message with an error",
    object: new Message(replyMetadata, { error: { code: 5, reason: "boom" } }),
    head: "Message  116",
    body: { hex: `${errorBody}1a08080a1204626f6f6d` },
  },
  {
    name: "e17",
    what: "Message with error 0 without a reason",
    object: new Message(replyMetadata, { error: { code: 0 } }),
    head: "Message  108",
    body: { hex: `${errorBody}1a00` },
  },
  {
    name: "coverage",
    what: "ConfigRecord of every type of value",
    object: new ConfigRecord({
      lr: 0.1,
      "batch-size": 128n,
      b: true,
      s: "h\u00e9",
      raw: Uint8Array.of(0x00, 0xff),
      l: [1n, -2n],
      u: 2n ** 63n,
      e: [],
      f: false,
      z: 0n,
      d0: 0,
      es: "",
      bl: [true, false],
      dl: [0.5, 1],
      sl: ["a", ""],
      yl: [new TextEncoder().encode("x")],
      ul: [1n, 2n ** 64n - 1n],
      neg: -1n,
    }),
    head: "ConfigRecord  266",
    body: {
      hex: "0a0f0a026c721209099a9999999999b93f0a110a0a62617463682d73697a6512031080020a070a0162120220010a0a0a017312052a0368c3a90a0b0a037261771204320200ff0a0c0a016c1207b201040a0202030a100a0175120b18808080808080808080010a080a01651203c201000a070a0166120220000a070a017a120210000a0f0a02643012090900000000000000000a080a02657312022a000a0d0a02626c1207c201040a0201000a1b0a02646c1215aa01120a10000000000000e03f000000000000f03f0a0e0a02736c1208ca01050a01610a000a0c0a02796c1206d201030a01780a160a02756c1210ba010d0a0b01ffffffffffffffffff010a090a036e656712021001",
    },
  },
];

/** The content that an example describes. */
function contentOfExample({ head, body }: Example): Uint8Array {
  const text = new TextEncoder();
  const bytes = typeof body === "string" ? text.encode(body) : hexToBytes(body.hex);
  return joinPieces([text.encode(head), Uint8Array.of(0), bytes]);
}

describe("case 69: the worked examples of contract 7.5", () => {
  test.each(examples)("$name: $what has Flower's content and id", (example) => {
    const deflated = deflate(example.object);
    const contents = new Map(contentsOf(deflated));
    expect(new TextDecoder().decode(deflated.head)).toBe(`${example.head}\0`);
    expect(bytesToHex(contents.get(deflated.id) ?? new Uint8Array())).toBe(
      bytesToHex(contentOfExample(example)),
    );
    expect(deflated.id).toBe(ids[example.name]);
  });

  test.each(examples)("$name: $what comes back from Flower's content", (example) => {
    const contents = new Map(contentsOf(deflate(example.object)));
    contents.set(ids[example.name], joinPieces([contentOfExample(example)]));
    const inflated = inflate(ids[example.name], contents);
    expect(inflated).toBeInstanceOf(example.object.constructor);
    expect(deflate(inflated).id).toBe(ids[example.name]);
  });

  test("E14: keys, records and values are as they were", () => {
    const e14 = examples.find(({ name }) => name === "e14")?.object ?? e13;
    const content = inflate(ids.e14, new Map(contentsOf(deflate(e14))));
    expect(content).toBeInstanceOf(RecordDict);
    if (content instanceof RecordDict) {
      expect(Array.from(content.keys())).toEqual(["model", "cfg", 'm\u00e9t\u{1f600}\u007f"\\/']);
      expect(content.getArrayRecord("model").get("w").toTypedArray()).toEqual(
        new Float32Array([1, 2, 3, 4]),
      );
      expect(Array.from(content.getConfigRecord("cfg"))).toEqual([
        ["lr", 0.1],
        ["batch-size", 128n],
      ]);
    }
  });

  test("E15: the id of an inflated message is its object id", () => {
    const message = inflateMessage(ids.e15, new Map(contentsOf(deflate(e15))));
    expect(message.metadata).toEqual({ ...e15.metadata, messageId: ids.e15 });
    expect(deflate(message).id).toBe(ids.e15);
  });
});

/** Contract 7.5, "Chunking examples": chunks of 16 bytes. */
describe("the chunking examples of contract 7.5", () => {
  const zeros = "d7f82d0bab668d1696fdf43aafe9ba1f9303f4efcb2028e7dffac10043a27ebc";
  const counting = "fa77aef6ab37f7983d78980f43e17fee6a44736e2be0700c7d068e55490e046f";
  const eightZeros = "a51d8edc32b7dd5c4321bc9c1f4fa93c4816536c12b1ee371ec1566276a3156e";
  const mixed = new Uint8Array(48);
  mixed.set(
    Array.from({ length: 16 }, (_, index) => index),
    16,
  );

  test.each([
    {
      data: new Uint8Array(40),
      children: [zeros, eightZeros],
      chunkIndexes: "[0, 0, 1]",
      id: "cf949cf379749ae68818396e3859eb90007d0455982843fe51a6c180199ec062",
    },
    {
      data: mixed,
      children: [zeros, counting],
      chunkIndexes: "[0, 1, 0]",
      id: "871953afc4f04545ee6bf06dcb05d33ec4b2b54d4f36bf16e571fbae2017b7c8",
    },
  ])("$data.length bytes become chunks $chunkIndexes", ({ data, children, chunkIndexes, id }) => {
    const array = new NdArray({ dtype: "uint8", shape: [data.length], stype: "raw", data });
    const deflated = deflate(array, { maxChunkBytes: 16 });
    expect(deflated.children.map((child) => child.id)).toEqual(children);
    expect(new TextDecoder().decode(joinPieces(deflated.body))).toBe(
      `{"dtype": "uint8", "shape": [${data.length}], "stype": "raw", "arraychunk_ids": ${chunkIndexes}}`,
    );
    expect(deflated.id).toBe(id);

    const inflated = inflate(id, new Map(contentsOf(deflated)));
    expect(inflated instanceof NdArray && inflated.toBytes()).toEqual(data);
  });

  test("data in pieces is cut as if it were one", () => {
    const array = new NdArray({
      dtype: "uint8",
      shape: [48],
      stype: "raw",
      data: [
        mixed.subarray(0, 5),
        mixed.subarray(5, 20),
        mixed.subarray(20, 20),
        mixed.subarray(20),
      ],
    });
    expect(deflate(array, { maxChunkBytes: 16 }).id).toBe(
      "871953afc4f04545ee6bf06dcb05d33ec4b2b54d4f36bf16e571fbae2017b7c8",
    );
  });
});

describe("the wire example of contract 7.5", () => {
  const wire =
    "12750a7108819db2e1dcfd86bbba01124035306264663865633566316633633330363930383662643533306561386231656463616364353066666137303034333965376132356230303236356530366361180120eaadc0e52432013139000000000020ac404205747261696e49000020282e71da41120018819db2e1dcfd86bbba0122cb010a40353062646638656335663166336333303639303836626435333065613862316564636163643530666661373030343339653761323562303032363565303663611286010a403336646261363633666334373333393932346239653037663035613065363832343163383863333135343533613130363436393966623033393461353631383212420a4037303038666131353834656265613237363830343935313864666261613536633461336432333661373461666437646434626364653134386362633464306232";

  test("PushAppMessagesRequest of E15 is byte for byte Flower's", () => {
    const deflated = deflate(e15);
    const request = create(PushAppMessagesRequestSchema, {
      runId: e15.metadata.runId,
      messagesList: [e15.withMetadata({ messageId: deflated.id }).toProto()],
      messageObjectTrees: [treeOf(deflated)],
    });
    const bytes = toBinary(PushAppMessagesRequestSchema, request);
    expect(bytes).toHaveLength(336);
    expect(bytesToHex(bytes)).toBe(wire);
  });

  test("its tree lists children before parents", () => {
    const [tree] = fromBinary(PushAppMessagesRequestSchema, hexToBytes(wire)).messageObjectTrees;
    expect(tree && objectIdsOf(tree)).toEqual([ids.e5, ids.e13, ids.e15]);
  });
});
