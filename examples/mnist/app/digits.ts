import { Matrix } from "ml-matrix";

/** Pixels of one digit: 28 rows of 28, 0 (background) to 255. */
export const pixelsPerDigit = 28 * 28;

/** Labelled digits, in the layout of a partition file. */
export interface Digits {
  /** The digit, 0 to 9, that each image shows. */
  readonly labels: Uint8Array;
  /** The images, one after the other. */
  readonly pixels: Uint8Array;
}

/** Writes digits as bytes: all labels, then all pixels. */
export function encodeDigits({ labels, pixels }: Digits): Uint8Array {
  const bytes = new Uint8Array(labels.length + pixels.length);
  bytes.set(labels);
  bytes.set(pixels, labels.length);
  return bytes;
}

/** Reads what `encodeDigits` wrote. @throws Error when the length does not fit whole digits */
export function decodeDigits(bytes: Uint8Array): Digits {
  const count = bytes.length / (1 + pixelsPerDigit);
  if (!Number.isInteger(count))
    throw new Error(`${bytes.length} bytes are no whole number of digits.`);
  return { labels: bytes.subarray(0, count), pixels: bytes.subarray(count) };
}

/** Splits digits after the first `count`. */
export function splitDigits({ labels, pixels }: Digits, count: number): [Digits, Digits] {
  const cut = count * pixelsPerDigit;
  return [
    { labels: labels.subarray(0, count), pixels: pixels.subarray(0, cut) },
    { labels: labels.subarray(count), pixels: pixels.subarray(cut) },
  ];
}

/** The images as a matrix: a row per digit, a column per pixel, 0 to 1. */
export function imagesOf({ labels, pixels }: Digits): Matrix {
  const images = new Matrix(labels.length, pixelsPerDigit);
  for (let row = 0; row < labels.length; row++) {
    const offset = row * pixelsPerDigit;
    for (let column = 0; column < pixelsPerDigit; column++) {
      images.set(row, column, (pixels[offset + column] ?? 0) / 255);
    }
  }
  return images;
}
