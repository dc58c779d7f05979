import { create } from "@bufbuild/protobuf";
import { type Array as ArrayProto, ArraySchema } from "../../../gen/flwr/proto/recorddict_pb.ts";
import { ArrayChunk } from "./array-chunk.ts";
import { joinPieces, lengthOf, viewPieces } from "./bytes.ts";
import { type Children, type ContentObject, InflateError } from "./content-object.ts";
import {
  assertShape,
  type Dtype,
  dtypeOf,
  dtypes,
  elementCount,
  type TypedArray,
} from "./dtype.ts";
import { decodeJsonBody, expectChild, expectObject, expectSameIds } from "./expect-object.ts";
import { writeJsonIntegers, writeJsonObject, writeJsonString } from "./json.ts";
import { isWellFormed } from "./keyed-record.ts";
import {
  assertLittleEndian,
  decodeNpyElements,
  decodeNpyHeader,
  encodeNpyHeader,
  NpyError,
} from "./npy.ts";
import { assertWellFormed } from "./record-value.ts";

/** The `stype` of data in .npy format: what NumPy arrays become. */
export const numpyStype = "numpy.ndarray";

/** What an {@link NdArray} is made of. */
export interface NdArrayInit {
  /** NumPy's name of the element type, such as `float32`. */
  readonly dtype: string;
  /** Size of each dimension; empty for a single number. */
  readonly shape: readonly number[];
  /** How `data` is written. Default: {@link numpyStype}. Data of any other is opaque bytes. */
  readonly stype?: string;
  /** The data, whole or in consecutive pieces. Not copied: do not change it. */
  readonly data: Uint8Array | readonly Uint8Array[];
}

/**
 * An array of numbers with a shape: Flower's Array (the name differs so as not
 * to shadow JavaScript's own).
 *
 * ```ts
 * const w = NdArray.from(new Float32Array([1, 2, 3, 4]), [2, 2]);
 * w.toTypedArray(); // Float32Array [1, 2, 3, 4]
 * ```
 */
export class NdArray implements ContentObject {
  readonly objectType = "Array";
  /** NumPy's name of the element type. */
  readonly dtype: string;
  /** Size of each dimension; empty for a single number. */
  readonly shape: readonly number[];
  /** How the data is written; {@link numpyStype} for .npy. */
  readonly stype: string;
  /** The data, in consecutive pieces; .npy header and elements where the stype is NumPy's. */
  readonly pieces: readonly Uint8Array[];

  /** @throws TypeError if the shape is none. */
  constructor({ dtype, shape, stype = numpyStype, data }: NdArrayInit) {
    this.dtype = assertWellFormed('"dtype"', dtype);
    this.shape = Object.freeze([...assertShape(shape)]);
    this.stype = assertWellFormed('"stype"', stype);
    this.pieces = data instanceof Uint8Array ? [data] : data;
  }

  /**
   * Makes an array of the elements of a typed array, in C order.
   *
   * The elements are not copied, so that large models are in memory once. Do
   * not change them while the array is in use, above all while a message that
   * holds it is being sent: give a copy (`values.slice()`) if you must.
   *
   * @param values The elements.
   * @param shape Default: one dimension.
   * @param options.dtype Only for the element types without a typed array:
   * `float16` (its bits in a Uint16Array) and `bool` (0 or 1 in a Uint8Array).
   * @throws TypeError if the shape does not fit the number of elements, or the
   * dtype not the typed array.
   */
  static from(
    values: TypedArray,
    shape: readonly number[] = [values.length],
    options: { readonly dtype?: Dtype } = {},
  ): NdArray {
    const dtype = options.dtype ?? dtypeOf(values);
    if (!(values instanceof dtypes[dtype].array)) {
      throw new TypeError(`"dtype" ${dtype} needs a ${dtypes[dtype].array.name}`);
    }
    if (elementCount(assertShape(shape)) !== values.length) {
      throw new TypeError(
        `"shape" [${shape.join(", ")}] is for ${elementCount(shape)} elements, but there are ${values.length}`,
      );
    }
    assertLittleEndian();
    const elements = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    return new NdArray({ dtype, shape, data: [encodeNpyHeader(dtype, shape), elements] });
  }

  /** Makes an array of no dimension. @param dtype Default: float64. */
  static scalar(value: number, dtype: "float32" | "float64" = "float64"): NdArray {
    return NdArray.from(dtypes[dtype].array.of(value), []);
  }

  /** Length of the data, in bytes. */
  get byteLength(): number {
    return lengthOf(this.pieces);
  }

  /** Returns the data in one piece; a copy unless it is in one piece already. */
  toBytes(): Uint8Array {
    const [first, ...rest] = this.pieces;
    return first !== undefined && rest.length === 0 ? first : joinPieces(this.pieces);
  }

  /**
   * Returns the elements in a new typed array, in C order; which one, `dtype`
   * says (see {@link dtypes}; float16 gives the bits in a Uint16Array, bool a
   * Uint8Array of 0 and 1).
   *
   * @throws TypeError if the stype is not NumPy's.
   * @throws NpyError if the data is no .npy data that is supported, or is not of
   * the array's own dtype and shape.
   */
  toTypedArray(): TypedArray {
    if (this.stype !== numpyStype) {
      throw new TypeError(
        `an array of stype ${JSON.stringify(this.stype)} has no elements to read`,
      );
    }
    const header = decodeNpyHeader(this.pieces);
    if (header.dtype !== this.dtype || String(header.shape) !== String(this.shape)) {
      throw new NpyError(
        `the array is ${this.dtype} of shape [${this.shape.join(", ")}], but its data ` +
          `${header.dtype} of shape [${header.shape.join(", ")}]`,
      );
    }
    return decodeNpyElements(this.pieces, header);
  }

  childObjects(maxChunkBytes: number): readonly ContentObject[] {
    const chunks: ArrayChunk[] = [];
    for (let start = 0; start < this.byteLength; start += maxChunkBytes) {
      chunks.push(new ArrayChunk(viewPieces(this.pieces, start, start + maxChunkBytes)));
    }
    return chunks;
  }

  encodeBody(chunkIds: readonly string[]): readonly Uint8Array[] {
    const indexes = new Map(Array.from(new Set(chunkIds), (id, index) => [id, index]));
    const text = writeJsonObject([
      ["dtype", writeJsonString(this.dtype)],
      ["shape", writeJsonIntegers(this.shape)],
      ["stype", writeJsonString(this.stype)],
      ["arraychunk_ids", writeJsonIntegers(chunkIds.map((id) => indexes.get(id) ?? -1))],
    ]);
    return [new TextEncoder().encode(text)];
  }

  /**
   * Rebuilds an array from its content and its chunks; the data is not copied.
   *
   * @throws InflateError if the content is no Array's, or its chunks are not the
   * children given.
   */
  static inflate(content: Uint8Array, children: Children = new Map()): NdArray {
    const { childIds, body } = expectObject("Array", content);
    const { dtype, shape, stype, chunkIndexes } = decodeJsonBody("Array", body, parseArrayBody);
    const chunkIds = chunkIndexes.map(
      (index) =>
        childIds[index] ?? fail(`The Array object refers to chunk ${index} of ${childIds.length}.`),
    );
    expectSameIds("Array", childIds, chunkIds, children);
    const data = chunkIds.flatMap((id) => expectChild("Array", id, children, isArrayChunk).pieces);
    return new NdArray({ dtype, shape, stype, data });
  }

  /** Returns the protobuf message, with the data inline (and copied, if it is in several pieces). */
  toProto(): ArrayProto {
    return create(ArraySchema, {
      dtype: this.dtype,
      shape: [...this.shape],
      stype: this.stype,
      data: this.toBytes(),
    });
  }

  /** Makes an array from its protobuf message. @throws TypeError if the shape is none. */
  static fromProto(this: void, proto: ArrayProto): NdArray {
    const { dtype, shape, stype, data } = proto;
    return new NdArray({ dtype, shape, stype, data });
  }
}

function isArrayChunk(child: ContentObject): child is ArrayChunk {
  return child instanceof ArrayChunk;
}

function parseArrayBody(text: string) {
  const body: unknown = JSON.parse(text);
  if (typeof body !== "object" || body === null) {
    throw new SyntaxError("expected a JSON object");
  }
  return {
    dtype: stringMember(body, "dtype"),
    shape: assertShape(integersMember(body, "shape")),
    stype: stringMember(body, "stype"),
    chunkIndexes: integersMember(body, "arraychunk_ids"),
  };
}

function stringMember(body: object, name: string): string {
  const value = memberOf(body, name);
  return typeof value === "string" && isWellFormed(value) ? value : malformed(name, "a string");
}

function integersMember(body: object, name: string): readonly number[] {
  const value = memberOf(body, name);
  return Array.isArray(value)
    ? value.map((item: unknown) =>
        Number.isSafeInteger(item) ? Number(item) : malformed(name, "a list of integers"),
      )
    : malformed(name, "a list of integers");
}

function memberOf(body: object, name: string): unknown {
  return Object.getOwnPropertyDescriptor(body, name)?.value;
}

function malformed(name: string, expected: string): never {
  throw new SyntaxError(`"${name}" must be ${expected}`);
}

function fail(text: string): never {
  throw new InflateError(text);
}
