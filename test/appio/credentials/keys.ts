import { createPublicKey, generateKeyPairSync, type KeyObject } from "node:crypto";

/** A private key; P-256 unless the curve matters, since it is 30 times faster. */
export function newKey(namedCurve = "P-256"): KeyObject {
  return generateKeyPairSync("ec", { namedCurve }).privateKey;
}

/** The public half as it travels: PEM. */
export function pemOf(key: KeyObject): string {
  const publicKey = key.type === "private" ? createPublicKey(key) : key;
  return publicKey.export({ type: "spki", format: "pem" }).toString();
}
