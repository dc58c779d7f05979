/** Freeing fewer bytes gains nothing. Above what Node takes from a pool, which many share. */
const leastBytes = 128 * 1024;

/** What the message that some bytes came in may have besides them, in bytes. */
const mostBesides = 1024;

/**
 * Gives the memory of bytes back that nobody will read again: they are empty
 * from then on, as is all that looks at the same memory. V8 would keep it until
 * it has gone through the whole heap, and does that once for every twenty MiB or
 * so of such memory, which takes longer than to store them.
 *
 * Leaves few bytes alone, and those that are a part of a larger memory.
 */
export function freeBytes({ buffer, byteLength }: Uint8Array): void {
  if (
    buffer instanceof ArrayBuffer &&
    byteLength >= leastBytes &&
    buffer.byteLength - byteLength <= mostBesides
  ) {
    buffer.transfer(0);
  }
}
