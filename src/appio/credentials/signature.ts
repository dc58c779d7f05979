import { type KeyObject, sign, verify } from "node:crypto";

/**
 * The longest signature that is looked at, in bytes. One on P-521 has at most
 * 139.
 */
const maxSignatureBytes = 160;

/** Signs a text with ECDSA and SHA-256; the signature is DER. Does not block: P-384 takes a millisecond. */
export function signText(text: string, key: KeyObject): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    sign("sha256", Buffer.from(text), key, (error, signature) =>
      error === null ? resolve(new Uint8Array(signature)) : reject(error),
    );
  });
}

/** Tells whether a signature of {@link signText} is this text's, by this key. Never rejects. */
export function isSignatureOf(
  text: string,
  signature: Uint8Array,
  publicKey: KeyObject,
): Promise<boolean> {
  if (signature.length > maxSignatureBytes) {
    return Promise.resolve(false);
  }
  return new Promise((resolve) => {
    verify("sha256", Buffer.from(text), publicKey, signature, (error, isRight) =>
      resolve(error === null && isRight),
    );
  });
}

/**
 * Returns what all spellings of a verified signature have in common: its first
 * number, r. From a signature (r, s) anybody can make (r, n - s), which is as
 * right as the first and has other bytes; another r needs the private key.
 */
export function signatureIdentity(signature: Uint8Array): string {
  const bytes = Buffer.from(signature);
  // SEQUENCE, its length (one byte, or 0x81 and one byte), INTEGER, its length, r.
  const start = bytes[1] === 0x81 ? 3 : 2;
  const length = bytes[start + 1] ?? 0;
  return bytes.toString("latin1", start + 2, start + 2 + length);
}
