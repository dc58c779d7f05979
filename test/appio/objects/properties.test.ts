import fc from "fast-check";
import { expect, test } from "vitest";
import { ArrayRecord } from "../../../src/appio/objects/array-record.ts";
import { ConfigRecord } from "../../../src/appio/objects/config-record.ts";
import type { ContentObject } from "../../../src/appio/objects/content-object.ts";
import { contentsOf, deflate, objectsOf, treeOf } from "../../../src/appio/objects/deflate.ts";
import {
  type Dtype,
  dtypeNames,
  dtypes,
  type TypedArray,
} from "../../../src/appio/objects/dtype.ts";
import { inflate, inflateMessage } from "../../../src/appio/objects/inflate.ts";
import { Message } from "../../../src/appio/objects/message.ts";
import { MetricRecord } from "../../../src/appio/objects/metric-record.ts";
import { NdArray } from "../../../src/appio/objects/nd-array.ts";
import { objectIdOf } from "../../../src/appio/objects/object-id.ts";
import { objectIdsOf } from "../../../src/appio/objects/object-tree.ts";
import { type AnyRecord, RecordDict } from "../../../src/appio/objects/record-dict.ts";
import {
  assertObjectStructure,
  ObjectStructureError,
} from "../../../src/appio/objects/structure.ts";

const key = fc.oneof(
  fc.string({ unit: "binary", maxLength: 8 }),
  fc.nat(99).map(String),
  fc.constant("__proto__"),
);
const sint = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
const uint = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const text = fc.string({ unit: "binary", maxLength: 10 });
const bytes = fc.uint8Array({ maxLength: 10 });
const metric = fc.oneof(
  sint,
  uint,
  fc.double(),
  fc.array(sint),
  fc.array(uint),
  fc.array(fc.double()),
);
const setting = fc.oneof(
  metric,
  fc.boolean(),
  text,
  bytes,
  fc.array(fc.boolean()),
  fc.array(text),
  fc.array(bytes),
);
const entries = <T>(value: fc.Arbitrary<T>) => fc.array(fc.tuple(key, value), { maxLength: 6 });

const array = fc
  .record({
    dtype: fc.constantFrom(...dtypeNames),
    shape: fc.array(fc.nat(5), { maxLength: 3 }),
    seed: fc.nat(255),
  })
  .map(({ dtype, shape, seed }) => NdArray.from(someValues(dtype, shape, seed), shape, { dtype }));
const anyRecord: fc.Arbitrary<AnyRecord> = fc.oneof(
  entries(array).map((items) => new ArrayRecord(items)),
  entries(metric).map((items) => new MetricRecord(items)),
  entries(setting).map((items) => new ConfigRecord(items)),
);
const dict = entries(anyRecord).map((items) => new RecordDict(items));
const message = fc
  .record({
    content: dict,
    messageType: fc.constantFrom("train", "evaluate", "query.x"),
    dstNodeId: uint,
    groupId: text,
    ttlSeconds: fc.double({ min: 0.001, max: 1e6, noNaN: true }),
    now: fc.double({ min: 0, max: 2e12, noNaN: true }).map((ms) => () => ms),
  })
  .map((init) => new Message(init));
const chunkSize = fc.constantFrom(7, 16, 64, 1000, 5_242_880);

/** The bytes of a few elements of a type; any bits are some number. */
function someValues(dtype: Dtype, shape: readonly number[], seed: number): TypedArray {
  const count = shape.reduce((product, size) => product * size, 1);
  const values = new dtypes[dtype].array(count);
  new Uint8Array(values.buffer).forEach((_, index, view) => {
    view[index] = (seed * (index + 1)) % 251;
  });
  return values;
}

/** Everything a record holds, for comparison. */
function show(object: ContentObject): unknown {
  if (object instanceof NdArray) {
    return [object.dtype, object.shape, object.stype, object.toBytes(), object.toTypedArray()];
  }
  if (object instanceof RecordDict || object instanceof ArrayRecord) {
    return [...object].map(([name, value]) => [name, value.objectType, show(value)]);
  }
  if (object instanceof MetricRecord || object instanceof ConfigRecord) {
    return [...object];
  }
  return object instanceof Message
    ? [{ ...object.metadata, messageId: "" }, show(object.content)]
    : object;
}

test("inflating what was deflated gives the same message with the same id", () => {
  fc.assert(
    fc.property(message, chunkSize, (original, maxChunkBytes) => {
      const deflated = deflate(original, { maxChunkBytes });
      const inflated = inflateMessage(deflated.id, new Map(contentsOf(deflated)));
      expect(show(inflated)).toEqual(show(original));
      expect(deflate(inflated, { maxChunkBytes }).id).toBe(deflated.id);
      expect(inflated.metadata.messageId).toBe(deflated.id);
    }),
    { numRuns: 200 },
  );
});

test("every object that is deflated is sound, and listed once, children first", () => {
  fc.assert(
    fc.property(dict, chunkSize, (original, maxChunkBytes) => {
      const deflated = deflate(original, { maxChunkBytes });
      const seen = new Set<string>();
      for (const [id, content] of contentsOf(deflated)) {
        assertObjectStructure(content);
        expect(objectIdOf(content)).toBe(id);
        for (const child of objectsOf(deflated).get(id)?.children ?? []) {
          expect(seen).toContain(child.id);
        }
        seen.add(id);
      }
      expect(Array.from(seen)).toEqual(objectIdsOf(treeOf(deflated)));
    }),
    { numRuns: 100 },
  );
});

test("protobuf messages carry records unchanged", () => {
  fc.assert(
    fc.property(dict, (original) => {
      const back = RecordDict.fromProto(original.toProto());
      expect(show(back)).toEqual(show(original));
      expect(deflate(back).id).toBe(deflate(original).id);
    }),
    { numRuns: 100 },
  );
});

test("a content with one byte changed is another object, and never more than an error", () => {
  fc.assert(
    fc.property(dict, fc.nat(), fc.integer({ min: 1, max: 255 }), (original, position, change) => {
      const contents = new Map(contentsOf(deflate(original)));
      const [id, content] = Array.from(contents).at(position % contents.size) ?? [
        "",
        new Uint8Array(),
      ];
      const changed = content.slice();
      const at = position % changed.length;
      changed[at] = (changed[at] ?? 0) ^ change;
      expect(objectIdOf(changed)).not.toBe(id);
      contents.set(id, changed);
      try {
        inflate(deflate(original).id, contents);
      } catch (error) {
        expect(error).toHaveProperty("name", "InflateError");
      }
    }),
    { numRuns: 300 },
  );
});

test("any bytes are an object or refused as one", () => {
  const heads = fc.constantFrom("", "Message  0\0", "ConfigRecord  1\0", "RecordDict , 2\0");
  fc.assert(
    fc.property(heads, fc.uint8Array({ maxLength: 40 }), (head, tail) => {
      const content = Uint8Array.of(...new TextEncoder().encode(head), ...tail);
      try {
        assertObjectStructure(content);
      } catch (error) {
        expect(error).toBeInstanceOf(ObjectStructureError);
      }
    }),
  );
});
