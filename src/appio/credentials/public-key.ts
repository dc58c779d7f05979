import { createHash, createPublicKey, type KeyObject } from "node:crypto";
import { nistCurves } from "./curves.ts";
import { OpenSshKeyError, readOpenSshPublicKey } from "./openssh.ts";

/** A public EC key on one of NIST's curves. */
export interface PublicKey {
  /** The key, for `node:crypto`. */
  readonly key: KeyObject;
  /** Its one spelling: PEM of its SubjectPublicKeyInfo, as OpenSSL and Python's `cryptography` write it. */
  readonly pem: string;
  /** SHA-256 of its SubjectPublicKeyInfo (DER), as 64 lower-case hexadecimal characters. */
  readonly fingerprint: string;
}

/**
 * The longest key that is parsed, in bytes. Keys on P-521 have 268; what is
 * longer is not worth OpenSSL's time.
 */
const maxPemBytes = 512;

/**
 * Reads the public key of a header.
 *
 * @returns undefined if it is not the canonical PEM of an EC key on a NIST
 * curve. One key has one spelling: it is what nodes are registered and keys
 * are listed under.
 */
export function parsePublicKey(pem: Uint8Array): PublicKey | undefined {
  if (pem.length > maxPemBytes) {
    return undefined;
  }
  const text = Buffer.from(pem.buffer, pem.byteOffset, pem.length).toString("latin1");
  try {
    const parsed = describe(createPublicKey(text));
    return parsed?.pem === text ? parsed : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Reads a public key that an operator has written down: PEM, or the line of an
 * OpenSSH key.
 *
 * @throws TypeError if it is something else, such as a private key, or no EC
 * key on a NIST curve; the message begins with `where` and does not show the key
 */
export function readPublicKey(text: string, where: string): PublicKey {
  const trimmed = text.trim();
  let parsed: PublicKey | undefined;
  try {
    if (trimmed.startsWith("ecdsa-sha2-")) {
      parsed = describe(createPublicKey({ key: readOpenSshPublicKey(trimmed), format: "jwk" }));
    } else if (trimmed.startsWith("-----BEGIN PUBLIC KEY-----")) {
      parsed = describe(createPublicKey(trimmed));
    }
  } catch (error) {
    const why = error instanceof OpenSshKeyError ? `: ${error.message}` : "";
    throw new TypeError(`${where} cannot be read as a public key${why}`);
  }
  if (parsed === undefined) {
    throw new TypeError(
      `${where} must be a public EC key on a NIST curve, as PEM or as an OpenSSH line`,
    );
  }
  return parsed;
}

/** Returns the public half of a private key, or the public key itself; undefined unless it is an EC key on a NIST curve. */
export function publicKeyOf(key: KeyObject): PublicKey | undefined {
  return describe(key.type === "private" ? createPublicKey(key) : key);
}

function describe(key: KeyObject): PublicKey | undefined {
  const curve = key.asymmetricKeyDetails?.namedCurve;
  if (key.asymmetricKeyType !== "ec" || curve === undefined || !nistCurves.has(curve)) {
    return undefined;
  }
  const der = key.export({ type: "spki", format: "der" });
  return {
    key,
    pem: key.export({ type: "spki", format: "pem" }).toString(),
    fingerprint: createHash("sha256").update(der).digest("hex"),
  };
}
