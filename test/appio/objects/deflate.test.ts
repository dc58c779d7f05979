import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import { ArrayRecord } from "../../../src/appio/objects/array-record.ts";
import { ConfigRecord } from "../../../src/appio/objects/config-record.ts";
import { contentsOf, deflate, objectsOf, treeOf } from "../../../src/appio/objects/deflate.ts";
import { NdArray } from "../../../src/appio/objects/nd-array.ts";
import { createPortableSha256, objectIdOf } from "../../../src/appio/objects/object-id.ts";
import { objectIdsOf, objectTree, postOrder } from "../../../src/appio/objects/object-tree.ts";
import { RecordDict } from "../../../src/appio/objects/record-dict.ts";

const megabyte = 2 ** 20;

test("data is cut at 5,242,880 bytes by default", () => {
  const data = Uint8Array.from({ length: 11 * megabyte }, (_, index) => index % 251);
  const deflated = deflate(new NdArray({ dtype: "uint8", shape: [1], stype: "raw", data }));
  expect(deflated.children.map((chunk) => chunk.body.map((piece) => piece.length))).toEqual([
    [5_242_880],
    [5_242_880],
    [megabyte],
  ]);
});

test("chunks are views of the array's data", () => {
  const values = new Float32Array(1000).map((_, index) => index);
  const [first, second] = deflate(NdArray.from(values), { maxChunkBytes: 1024 }).children;
  // The first chunk has the header of the .npy format before the elements.
  expect(first?.body.map((piece) => piece.length)).toEqual([128, 896]);
  expect(first?.body[1]?.buffer).toBe(values.buffer);
  expect(second?.body[0]?.buffer).toBe(values.buffer);
});

test("contents are made one at a time, and their ids are right", () => {
  const record = new ArrayRecord({ w: NdArray.from(new Float32Array(1000)), b: NdArray.scalar(1) });
  const deflated = deflate(record, { maxChunkBytes: 512 });
  for (const [id, content] of contentsOf(deflated)) {
    expect(objectIdOf(content)).toBe(id);
    expect(content.byteLength).toBe(content.buffer.byteLength);
  }
});

test("objects come once each, children before parents, as in the tree", () => {
  const shared = NdArray.from(new Float32Array(4));
  const dict = new RecordDict({
    a: new ArrayRecord({ v: shared, w: NdArray.scalar(2) }),
    b: new ArrayRecord({ v: shared }),
    c: new ConfigRecord(),
  });
  const deflated = deflate(dict);
  const ids = Array.from(objectsOf(deflated).keys());
  expect(ids).toEqual(objectIdsOf(treeOf(deflated)));
  expect(ids).toHaveLength(8);
  expect(Array.from(postOrder(treeOf(deflated)))).toHaveLength(10);
  expect(ids.at(-1)).toBe(deflated.id);
});

test("any SHA-256 will do", () => {
  const record = new ArrayRecord({ w: NdArray.from(new Float32Array(1000)) });
  const ours = deflate(record, { createSha256: createPortableSha256 });
  expect(deflate(record, { createSha256: () => createHash("sha256") }).id).toBe(ours.id);
});

test("what is known is hashed once", () => {
  let hashes = 0;
  const createSha256 = () => {
    hashes += 1;
    return createHash("sha256");
  };
  const known = new Map();
  const model = new ArrayRecord({ w: NdArray.from(new Float32Array(1000)) });
  deflate(new RecordDict({ model }), { createSha256, known });
  expect(hashes).toBe(4);
  deflate(new RecordDict({ model }), { createSha256, known });
  expect(hashes).toBe(5);
});

test("a change shows in the next id", () => {
  const config = new ConfigRecord({ round: 1n });
  const dict = new RecordDict({ config });
  const before = deflate(dict).id;
  config.set("round", 2n);
  expect(deflate(dict).id).not.toBe(before);
});

test.each([0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY])(
  "refuses chunks of %d bytes",
  (maxChunkBytes) => {
    expect(() => deflate(new ConfigRecord(), { maxChunkBytes })).toThrow(
      `"maxChunkBytes" must be a positive integer, not ${maxChunkBytes}`,
    );
  },
);

test("a very deep tree is walked without recursion", () => {
  let tree = objectTree("leaf");
  for (let depth = 0; depth < 50_000; depth += 1) {
    tree = objectTree(`${depth}`, [tree]);
  }
  expect(objectIdsOf(tree)).toHaveLength(50_001);
  expect(postOrder(tree).next().value).toBe("leaf");
});
