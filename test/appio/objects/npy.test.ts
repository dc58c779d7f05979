import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex } from "@noble/hashes/utils.js";
import { describe, expect, test } from "vitest";
import {
  type Dtype,
  dtypeNames,
  dtypes,
  type TypedArray,
} from "../../../src/appio/objects/dtype.ts";
import { float16ToFloat32, float32ToFloat16 } from "../../../src/appio/objects/float16.ts";
import { NdArray } from "../../../src/appio/objects/nd-array.ts";

const ones = (count: number) => Array.from({ length: count }, () => 1);

/** Elements 0, 1, 0, 1 ... of a type. */
function alternating(dtype: Dtype, count: number): TypedArray {
  const bits = Array.from({ length: count }, (_, index) => index % 2);
  switch (dtype) {
    case "int64":
    case "uint64":
      return dtypes[dtype].array.from(bits.map(BigInt));
    case "float16":
      return Uint16Array.from(bits, (bit) => bit * 0x3c00);
    default:
      return dtypes[dtype].array.from(bits);
  }
}

/**
 * What numpy 2.4.6 saves for `(np.arange(n) % 2).astype(dtype).reshape(shape)`:
 * length of the header, SHA-256 of all of it.
 */
const saved: readonly (readonly [Dtype, readonly number[], number, string])[] = [
  ["float16", [3], 128, "64c87b9eb6e8d43ef2b9cb92aedfe5d05e2d78766ab4f975443e1ee472d0e752"],
  ["float32", [], 128, "25b1313316fef127cb527c8ec54f131e92a1d9155913172b1a36d9486e3668a0"],
  ["float32", [784, 10], 128, "e6a67097f5d3df3452990d31290a25e434614074ef1bc68a67b8ac9f171330be"],
  ["float64", [0], 128, "fdee2f2368bf2af9c942f32cce9d982e48dfc46889bf923e99bc9ac834a4ba46"],
  ["int8", [2, 3], 128, "2cb7fcbba35253af0a3be18182896e35bdc222e3c5c1f16094d0284da494781a"],
  ["int16", [1], 128, "b8e743b963167836b81220269e190004c96d11d758d7a05ae9f02aaa2352beb9"],
  ["int32", [2, 2, 2], 128, "5900da8e3635fc4bd64ba2492e0c3403fb81a0f23952497abed26a96f3e37095"],
  ["int64", [3], 128, "4302b74c1518b5b47b650953956444df821e0616c963dc426ece2f89536f5ffe"],
  ["uint8", [1000000], 128, "5f93f44998fbd4cec074790a1cc9b2f503a978ee8a668681c0863ac4385a6735"],
  ["uint16", [4], 128, "e7a156bf9dda24c82538493e27010424919dcedda7dd2e15b4113601aa5a9045"],
  ["uint32", [2], 128, "a4a0b4a1685a736c1179b03c96a443e7b91609d1983a5d36d8d0ead6154bc6cf"],
  ["uint64", [2], 128, "8da28ccbcaf48295bf07ba2dad91e7e2d44660c79952bdc57eb79b13c665e559"],
  ["bool", [3], 128, "0db41cce30c16cb195f6880ea476a0734514c28fa7142863aa235a83ed372a6b"],
  // Around the length where the header grows by 64 bytes.
  ["uint8", ones(13), 128, "c32e7ebf7906a0cc59269afc11a5ea9319537257570c71e5b43f2bb1b2321026"],
  ["uint8", ones(15), 192, "1f32148cecdb69d57b6f49af4b6aa15b5f0830ca1f984efd98e0a7afddefbcf1"],
  [
    "uint8",
    [10, ...ones(14)],
    192,
    "6292046c9e7a6e642dc9b0f70573767df890f6d39326123fc0188a7f3d226651",
  ],
  ["float32", ones(20), 192, "c3397e919fe620f844c70c976e8a3b197f40df5c195ff5cf4074afbe58e5c8c5"],
];

/** .npy data with a header of one's own, padded as numpy pads it. */
function npy(header: string, elements: Uint8Array, version = [1, 0]): Uint8Array {
  const text = `${header.padEnd(117)}\n`;
  return Uint8Array.of(
    ...[0x93, ...new TextEncoder().encode("NUMPY"), ...version, text.length, 0],
    ...new TextEncoder().encode(text),
    ...elements,
  );
}

function readFloats(data: Uint8Array) {
  return new NdArray({ dtype: "float32", shape: [2], data }).toTypedArray();
}

describe("writing", () => {
  test.each(saved)("%s of shape %j is saved as numpy saves it", (dtype, shape, length, hash) => {
    const count = shape.reduce((product, size) => product * size, 1);
    const array = NdArray.from(alternating(dtype, count), shape, { dtype });
    expect(array.pieces[0]).toHaveLength(length);
    expect(bytesToHex(sha256(array.toBytes()))).toBe(hash);
  });
});

describe("reading", () => {
  test.each(dtypeNames)("%s elements come back in their typed array", (dtype) => {
    const values = alternating(dtype, 5);
    const copy = new NdArray({
      dtype,
      shape: [5],
      data: NdArray.from(values, [5], { dtype }).toBytes(),
    });
    expect(copy.toTypedArray()).toEqual(values);
  });

  test("the keys of a header may have any order and spacing", () => {
    const header = "{'shape':(2,),'fortran_order': False ,  'descr':'<f4'}";
    expect(readFloats(npy(header, new Uint8Array(8)))).toEqual(new Float32Array(2));
  });

  test.each([
    ["no .npy data", new Uint8Array(200), "The data is not in .npy format."],
    ["no data", new Uint8Array(0), "The data is not in .npy format."],
    [
      "another version",
      npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", new Uint8Array(8), [2, 0]),
      "Version 2.0 of the .npy format is not supported, only 1.0.",
    ],
    [
      "a header that is cut off",
      npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", new Uint8Array()).subarray(
        0,
        90,
      ),
      "The .npy header is cut off.",
    ],
    [
      "Fortran order",
      npy("{'descr': '<f4', 'fortran_order': True, 'shape': (2,), }", new Uint8Array(8)),
      "Arrays in Fortran order are not supported, only in C order.",
    ],
    [
      "big-endian elements",
      npy("{'descr': '>f4', 'fortran_order': False, 'shape': (2,), }", new Uint8Array(8)),
      'Arrays of type ">f4" are not supported, only little-endian float16, float32, float64, int8, int16, int32, int64, uint8, uint16, uint32, uint64, bool.',
    ],
    [
      "complex elements",
      npy("{'descr': '<c8', 'fortran_order': False, 'shape': (2,), }", new Uint8Array(16)),
      'Arrays of type "<c8" are not supported',
    ],
    [
      "structured elements",
      npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,), }", new Uint8Array(8)),
      "The .npy header cannot be read",
    ],
    [
      "a header with code in it",
      npy("{'descr': '<f4', 'fortran_order': False, 'shape': (f(),), }", new Uint8Array(8)),
      "The .npy header cannot be read",
    ],
    [
      "a key twice",
      npy("{'descr': '<f4', 'descr': '<f4', 'shape': (2,), }", new Uint8Array(8)),
      "The .npy header cannot be read",
    ],
    [
      "a hole in the shape",
      npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2,,), }", new Uint8Array(8)),
      "The .npy header has a malformed shape: (2,,).",
    ],
    [
      "too few elements",
      npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", new Uint8Array(7)),
      "An array of float32 of shape [2] has 8 bytes, but there are 7.",
    ],
    [
      "bytes after the elements",
      npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", new Uint8Array(9)),
      "An array of float32 of shape [2] has 8 bytes, but there are 9.",
    ],
  ])("refuses %s", (_, data, text) => {
    expect(() => readFloats(data)).toThrow(text);
  });
});

describe("float16", () => {
  const finite = Uint16Array.from({ length: 65_536 }, (_, bits) => bits).filter(
    (bits) => (bits & 0x7c00) !== 0x7c00 || (bits & 0x3ff) === 0,
  );

  test("all bits but NaN become numpy's numbers, and back", () => {
    const numbers = float16ToFloat32(finite);
    expect(bytesToHex(sha256(new Uint8Array(numbers.buffer)))).toBe(
      "680bbc22915f61aa1bbfc7265bc3882a6aa42d299bfd2c571807196e5544de2e",
    );
    expect(float32ToFloat16(numbers)).toEqual(finite);
  });

  test("NaN stays NaN", () => {
    expect(float16ToFloat32(Uint16Array.of(0x7c01, 0xfe00))).toEqual(
      Float32Array.of(Number.NaN, Number.NaN),
    );
    expect(float32ToFloat16(Float32Array.of(Number.NaN))).toEqual(Uint16Array.of(0x7e00));
  });

  test("numbers between two neighbours become the nearer, halfway ones the even", () => {
    const wrong: number[] = [];
    for (let low = 0; low < 0x7bff; low += 1) {
      const [below = 0, above = 0] = float16ToFloat32(Uint16Array.of(low, low + 1));
      const middle = (below + above) / 2;
      const quarter = (above - below) / 4;
      const bits = float32ToFloat16(Float32Array.of(middle - quarter, middle, middle + quarter));
      if (String(bits) !== String([low, low % 2 === 0 ? low : low + 1, low + 1])) {
        wrong.push(low);
      }
    }
    expect(wrong).toEqual([]);
    expect(float32ToFloat16(Float32Array.of(65_519, 65_520, -1e9))).toEqual(
      Uint16Array.of(0x7bff, 0x7c00, 0xfc00),
    );
  });
});
