import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex } from "@noble/hashes/utils.js";

/** An incremental SHA-256: what `@noble/hashes` and `node:crypto` both offer. */
export interface Sha256Hasher {
  /** Takes in more bytes. */
  update(bytes: Uint8Array): unknown;
  /** Ends the computation; 32 bytes. */
  digest(): Uint8Array;
}

/**
 * Makes a {@link Sha256Hasher}. The default is the one of `@noble/hashes`,
 * which runs everywhere; where gigabytes are hashed on Node,
 * `() => createHash("sha256")` of `node:crypto` is several times as fast.
 */
export type CreateSha256 = () => Sha256Hasher;

/** The default of every `createSha256` option. */
export const createPortableSha256: CreateSha256 = () => sha256.create();

/** Ids as this package writes them: 64 lower-case hexadecimal characters. */
const idPattern = /^[0-9a-f]{64}$/i;

/**
 * Tells whether a string has the form of an object id: 64 hexadecimal
 * characters. Upper case passes, as it does in Flower, although no object's id
 * has any.
 */
export function isObjectId(value: string): boolean {
  return idPattern.test(value);
}

/**
 * Returns the id of an object: the lower-case hexadecimal SHA-256 of its whole
 * content (head, separator and body).
 *
 * @param pieces The content, whole or in consecutive pieces; none is copied.
 */
export function objectIdOf(
  pieces: Uint8Array | Iterable<Uint8Array>,
  createSha256: CreateSha256 = createPortableSha256,
): string {
  const hasher = createSha256();
  for (const piece of pieces instanceof Uint8Array ? [pieces] : pieces) {
    hasher.update(piece);
  }
  return bytesToHex(new Uint8Array(hasher.digest()));
}
