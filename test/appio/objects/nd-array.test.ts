import { expect, test } from "vitest";
import { deflate } from "../../../src/appio/objects/deflate.ts";
import { NdArray } from "../../../src/appio/objects/nd-array.ts";
import { NpyError } from "../../../src/appio/objects/npy.ts";

test("an array has the type of its typed array and one dimension by default", () => {
  const array = NdArray.from(new Float64Array([1, 2, 3]));
  expect([array.dtype, array.shape, array.stype]).toEqual(["float64", [3], "numpy.ndarray"]);
});

test("elements are not copied on the way in, and are on the way out", () => {
  const values = new Float32Array([1, 2]);
  const array = NdArray.from(values);
  expect(array.pieces[1]?.buffer).toBe(values.buffer);
  const out = array.toTypedArray();
  expect(out).toEqual(values);
  expect(out.buffer).not.toBe(values.buffer);
});

test("a part of a larger buffer is an array of that part only", () => {
  const values = new Int16Array([9, 1, 2, 9]).subarray(1, 3);
  expect(NdArray.from(values).toTypedArray()).toEqual(new Int16Array([1, 2]));
});

test("the shape cannot be changed afterwards", () => {
  const shape = [2];
  const array = NdArray.from(new Float32Array(2), shape);
  shape[0] = 3;
  expect(array.shape).toEqual([2]);
  expect(Object.isFrozen(array.shape)).toBe(true);
});

test.each([
  [
    "a shape for another number of elements",
    () => NdArray.from(new Float32Array(3), [2, 2]),
    '"shape" [2, 2] is for 4 elements, but there are 3',
  ],
  [
    "a negative size",
    () => NdArray.from(new Float32Array(1), [-1, -1]),
    '"shape" must be a list of integers from 0 to 2^31-1, not [-1,-1]',
  ],
  [
    "a size that the wire cannot carry",
    () => new NdArray({ dtype: "uint8", shape: [2 ** 31], data: new Uint8Array() }),
    '"shape" must be a list of integers from 0 to 2^31-1',
  ],
  [
    "a fraction as a size",
    () => new NdArray({ dtype: "uint8", shape: [1.5], data: new Uint8Array() }),
    '"shape" must be a list',
  ],
  [
    "a dtype that is not the typed array's",
    () => NdArray.from(new Float32Array(1), [1], { dtype: "bool" }),
    '"dtype" bool needs a Uint8Array',
  ],
])("refuses %s", (_, make, text) => {
  expect(make).toThrow(new RegExp(`^${text.replace(/[[\]^"*.]/g, "\\$&")}`));
  expect(make).toThrow(TypeError);
});

test("refuses what is no typed array of a known type", () => {
  // @ts-expect-error a Uint8ClampedArray has no NumPy type
  expect(() => NdArray.from(new Uint8ClampedArray(1))).toThrow('"values" must be a typed array of');
});

test("data of another stype is kept, but has no elements to read", () => {
  const array = new NdArray({ dtype: "x", shape: [], stype: "torch", data: Uint8Array.of(1, 2) });
  expect(array.toBytes()).toEqual(Uint8Array.of(1, 2));
  expect(() => array.toTypedArray()).toThrow('an array of stype "torch" has no elements to read');
});

test("data of another dtype or shape than the array's is refused", () => {
  const data = NdArray.from(new Float32Array(4), [2, 2]).toBytes();
  const flat = new NdArray({ dtype: "float32", shape: [4], data });
  expect(() => flat.toTypedArray()).toThrow(
    "the array is float32 of shape [4], but its data float32 of shape [2, 2]",
  );
  // The same as for data that is malformed: whoever skips what a node sent wrong needs one catch.
  expect(() => flat.toTypedArray()).toThrow(NpyError);
  const wide = new NdArray({ dtype: "float64", shape: [2, 2], data });
  expect(() => wide.toTypedArray()).toThrow(
    "the array is float64 of shape [2, 2], but its data float32",
  );
});

test("the protobuf message carries the data inline", () => {
  const array = NdArray.from(new Float32Array([1, 2, 3, 4]), [2, 2]);
  const proto = array.toProto();
  expect(proto.data).toHaveLength(144);
  expect(deflate(NdArray.fromProto(proto)).id).toBe(deflate(array).id);
});
