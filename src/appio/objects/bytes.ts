/**
 * Returns the part of a sequence of pieces between two offsets, as views: no
 * byte is copied.
 *
 * @param pieces Consecutive pieces of one byte sequence.
 * @param start First byte, counted over all pieces.
 * @param end The byte after the last one; beyond the end means the end.
 */
export function viewPieces(
  pieces: readonly Uint8Array[],
  start: number,
  end: number,
): readonly Uint8Array[] {
  const views: Uint8Array[] = [];
  let offset = 0;
  for (const piece of pieces) {
    const from = Math.max(start - offset, 0);
    const to = Math.min(end - offset, piece.length);
    if (from < to) {
      views.push(piece.subarray(from, to));
    }
    offset += piece.length;
  }
  return views;
}

/** Returns how many bytes the pieces have together. */
export function lengthOf(pieces: readonly Uint8Array[]): number {
  return pieces.reduce((sum, piece) => sum + piece.length, 0);
}

/** Copies the pieces into one new array, whose buffer holds nothing else. */
export function joinPieces(pieces: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const joined = new Uint8Array(lengthOf(pieces));
  let offset = 0;
  for (const piece of pieces) {
    joined.set(piece, offset);
    offset += piece.length;
  }
  return joined;
}
