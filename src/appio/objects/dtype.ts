/**
 * The element types that arrays can have here, each with NumPy's name, the
 * type code of the .npy format and the typed array that holds such elements.
 *
 * Two have no typed array of their own everywhere: `float16` elements are held
 * as their 16 bits in a Uint16Array (Node 22 has no Float16Array; see
 * `float16ToFloat32`), and `bool` elements as 0 or 1 in a Uint8Array.
 */
export const dtypes = {
  float16: { descr: "<f2", array: Uint16Array },
  float32: { descr: "<f4", array: Float32Array },
  float64: { descr: "<f8", array: Float64Array },
  int8: { descr: "|i1", array: Int8Array },
  int16: { descr: "<i2", array: Int16Array },
  int32: { descr: "<i4", array: Int32Array },
  int64: { descr: "<i8", array: BigInt64Array },
  uint8: { descr: "|u1", array: Uint8Array },
  uint16: { descr: "<u2", array: Uint16Array },
  uint32: { descr: "<u4", array: Uint32Array },
  uint64: { descr: "<u8", array: BigUint64Array },
  bool: { descr: "|b1", array: Uint8Array },
} as const;

/** NumPy's name of an element type. */
export type Dtype = keyof typeof dtypes;

/** A typed array whose elements have an element type of {@link dtypes}. */
export type TypedArray = InstanceType<(typeof dtypes)[Dtype]["array"]>;

/** Returns the element type that a typed array has by itself; never float16 or bool. */
export function dtypeOf(values: TypedArray): Dtype {
  const own = dtypeNames.find(
    (name) => name !== "float16" && name !== "bool" && values instanceof dtypes[name].array,
  );
  if (own === undefined) {
    throw new TypeError(
      `"values" must be a typed array of one of: ${dtypeNames.join(", ")} (float16 as Uint16Array, bool as Uint8Array)`,
    );
  }
  return own;
}

/** The keys of {@link dtypes}; the one assertion that `Object.keys` needs. */
export const dtypeNames = Object.keys(dtypes) as readonly Dtype[];

/** How many elements an array of a shape has; 1 for the empty shape. */
export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/**
 * Checks that a shape is one: sizes that are integers from 0 to 2^31-1 (the
 * protobuf field is an int32).
 *
 * @throws TypeError naming the shape.
 */
export function assertShape(shape: readonly number[]): readonly number[] {
  if (
    !Array.isArray(shape) ||
    !shape.every((size) => Number.isInteger(size) && size >= 0 && size < 2 ** 31)
  ) {
    throw new TypeError(
      `"shape" must be a list of integers from 0 to 2^31-1, not [${String(shape)}]`,
    );
  }
  return shape;
}
