import { joinPieces, lengthOf, viewPieces } from "./bytes.ts";
import { type Dtype, dtypeNames, dtypes, elementCount, type TypedArray } from "./dtype.ts";

/** Data is not of the .npy format, or of a part of it that is not supported here. */
export class NpyError extends Error {
  override readonly name = "NpyError";
}

/** What a .npy header says. */
export interface NpyHeader {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  /** Where the elements start. */
  readonly headerLength: number;
}

/** Magic string and version 1.0 (NEP 1). */
const preamble = Uint8Array.of(0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 0x01, 0x00);
const alignment = 64;
/** NumPy leaves room for the first size to grow to this many digits, without moving the data. */
const growthDigits = 21;

/** The largest header of version 1.0, preamble included. */
const maxHeaderLength = 10 + 0xffff;

/**
 * Writes the header of a .npy file as `numpy.save` does (version 1.0, C order),
 * byte for byte: it is part of the hash of every array.
 */
export function encodeNpyHeader(dtype: Dtype, shape: readonly number[]): Uint8Array {
  const sizes = shape.length === 1 ? `${shape[0]},` : shape.join(", ");
  const growth = shape.length === 0 ? 0 : growthDigits - String(shape[0]).length;
  const text =
    `{'descr': '${dtypes[dtype].descr}', 'fortran_order': False, 'shape': (${sizes}), }` +
    " ".repeat(growth);
  const unpadded = preamble.length + 2 + text.length + 1;
  const padding = alignment - (unpadded % alignment);
  const header = new Uint8Array(unpadded + padding);
  header.set(preamble);
  new DataView(header.buffer).setUint16(preamble.length, header.length - 10, true);
  header.set(new TextEncoder().encode(`${text}${" ".repeat(padding)}\n`), 10);
  return header;
}

/**
 * Reads the header of .npy data.
 *
 * @param pieces The data, in consecutive pieces.
 * @throws NpyError if it is no .npy data of version 1.0, of an unsupported
 * element type, big-endian or in Fortran order.
 */
export function decodeNpyHeader(pieces: readonly Uint8Array[]): NpyHeader {
  const start = joinPieces(viewPieces(pieces, 0, maxHeaderLength));
  if (start.length < 10 || !preamble.subarray(0, 6).every((byte, index) => start[index] === byte)) {
    throw new NpyError("The data is not in .npy format.");
  }
  if (start[6] !== 1 || start[7] !== 0) {
    throw new NpyError(
      `Version ${start[6]}.${start[7]} of the .npy format is not supported, only 1.0.`,
    );
  }
  const headerLength = 10 + new DataView(start.buffer).getUint16(8, true);
  if (headerLength > start.length) {
    throw new NpyError("The .npy header is cut off.");
  }
  const text = new TextDecoder("latin1").decode(start.subarray(10, headerLength));
  return { ...decodeDict(text), headerLength };
}

/**
 * Returns the elements of .npy data in a new typed array.
 *
 * @param pieces The data, in consecutive pieces.
 * @throws NpyError as {@link decodeNpyHeader}, and if there are too few or too
 * many bytes for the shape.
 */
export function decodeNpyElements(
  pieces: readonly Uint8Array[],
  { dtype, shape, headerLength }: NpyHeader,
): TypedArray {
  const { array } = dtypes[dtype];
  const expected = elementCount(shape) * array.BYTES_PER_ELEMENT;
  const actual = lengthOf(pieces) - headerLength;
  if (actual !== expected) {
    throw new NpyError(
      `An array of ${dtype} of shape [${shape.join(", ")}] has ${expected} bytes, but there are ${actual}.`,
    );
  }
  const elements = joinPieces(viewPieces(pieces, headerLength, headerLength + actual));
  assertLittleEndian();
  return new array(elements.buffer);
}

/**
 * Typed arrays have the byte order of the machine, .npy data of ours is
 * little-endian. All machines that JavaScript engines are built for are too;
 * on another one this refuses instead of mixing up numbers.
 *
 * @throws NpyError on a big-endian machine.
 */
export function assertLittleEndian(): void {
  if (new Uint8Array(Uint16Array.of(1).buffer)[0] !== 1) {
    throw new NpyError("Big-endian machines are not supported.");
  }
}

/** Reads the Python dict of a header, its three keys in any order. */
function decodeDict(text: string): { dtype: Dtype; shape: readonly number[] } {
  const dict =
    /^\{((?:\s*'(?:descr|fortran_order|shape)':\s*(?:'[^']*'|True|False|\([\d\s,]*\))\s*,?){3})\s*\}\s*$/.exec(
      text,
    )?.[1];
  const descr = dict === undefined ? undefined : /'descr':\s*'([^']*)'/.exec(dict)?.[1];
  const order = dict === undefined ? undefined : /'fortran_order':\s*(True|False)/.exec(dict)?.[1];
  const sizes = dict === undefined ? undefined : /'shape':\s*\(([\d\s,]*)\)/.exec(dict)?.[1];
  if (descr === undefined || order === undefined || sizes === undefined) {
    throw new NpyError(
      "The .npy header cannot be read (structured and object arrays are not supported).",
    );
  }
  if (order === "True") {
    throw new NpyError("Arrays in Fortran order are not supported, only in C order.");
  }
  const dtype = dtypeNames.find((name) => dtypes[name].descr === descr);
  if (dtype === undefined) {
    throw new NpyError(
      `Arrays of type "${descr}" are not supported, only little-endian ${dtypeNames.join(", ")}.`,
    );
  }
  const shape = sizes.split(",").map((size) => size.trim());
  if (shape.at(-1) === "") {
    shape.pop();
  }
  if (!shape.every((size) => /^\d{1,10}$/.test(size))) {
    throw new NpyError(`The .npy header has a malformed shape: (${sizes}).`);
  }
  return { dtype, shape: shape.map(Number) };
}
