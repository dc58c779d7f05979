import { createPrivateKey, generateKeyPair, KeyObject } from "node:crypto";
import { promisify } from "node:util";
import { OpenSshKeyError, readOpenSshPrivateKey } from "./openssh.ts";
import { type PublicKey, publicKeyOf } from "./public-key.ts";

/** Makes a private key on P-384, as Flower's SuperNodes do. */
export async function generatePrivateKey(): Promise<KeyObject> {
  const { privateKey } = await promisify(generateKeyPair)("ec", { namedCurve: "P-384" });
  return privateKey;
}

/**
 * Reads a private EC key: PEM (PKCS #8 or SEC 1), or OpenSSH's format.
 *
 * @throws TypeError if it is something else, encrypted, or not on a NIST curve;
 * the message begins with `where` and never shows the key
 */
export function readPrivateKey(text: string, where: string): KeyObject {
  if (/^-----BEGIN ENCRYPTED|^Proc-Type:.*ENCRYPTED/m.test(text)) {
    throw new TypeError(`${where} is encrypted: remove its passphrase`);
  }
  let key: KeyObject;
  try {
    key = text.includes("BEGIN OPENSSH PRIVATE KEY")
      ? createPrivateKey({ key: readOpenSshPrivateKey(text), format: "jwk" })
      : createPrivateKey(text);
  } catch (error) {
    const why = error instanceof OpenSshKeyError ? `: ${error.message}` : "";
    throw new TypeError(`${where} cannot be read as a private key${why}`);
  }
  assertSigningKey(key, where);
  return key;
}

/**
 * Returns the public half of a key that is to sign calls.
 *
 * @throws TypeError if it is no private EC key on a NIST curve
 */
export function assertSigningKey(key: KeyObject, where: string): PublicKey {
  const publicKey =
    key instanceof KeyObject && key.type === "private" ? publicKeyOf(key) : undefined;
  if (publicKey === undefined) {
    throw new TypeError(`${where} must be a private EC key on a NIST curve`);
  }
  return publicKey;
}
