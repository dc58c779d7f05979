/**
 * The numbers of float16 arrays. NumPy has the type; typed arrays have it only
 * in engines newer than Node 22, so an NdArray of it holds the 16 bits of each
 * number in a Uint16Array, and these functions turn them into numbers and back.
 */

const smallestNormal = 2 ** -14;
const subnormalStep = 2 ** -24;
const infinityBits = 0x7c00;
const nanBits = 0x7e00;

/** Returns the numbers of float16 bits; every one is exact. */
export function float16ToFloat32(bits: Uint16Array): Float32Array<ArrayBuffer> {
  return Float32Array.from(bits, numberOf);
}

/**
 * Returns the float16 bits of numbers: the nearest, halfway cases to even, too
 * large ones to infinity (IEEE 754).
 */
export function float32ToFloat16(values: Float32Array): Uint16Array<ArrayBuffer> {
  return Uint16Array.from(values, bitsOf);
}

function numberOf(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0x1f) {
    return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  }
  return exponent === 0
    ? sign * fraction * subnormalStep
    : sign * (0x400 + fraction) * 2 ** (exponent - 25);
}

function bitsOf(value: number): number {
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  const size = Math.abs(value);
  if (Number.isNaN(size)) {
    return nanBits;
  }
  if (size < smallestNormal) {
    // A result of 0x400 is the smallest normal number, as it must be.
    return sign | roundToEven(size / subnormalStep);
  }
  if (size === Number.POSITIVE_INFINITY) {
    return sign | infinityBits;
  }
  const exponent = Math.floor(Math.log2(size));
  const fraction = roundToEven(size * 2 ** (10 - exponent)) - 0x400;
  // Rounding up to the next power of two carries into the exponent by itself.
  return sign | Math.min(((exponent + 15) << 10) + fraction, infinityBits);
}

function roundToEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  return floor + (rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? 1 : 0);
}
