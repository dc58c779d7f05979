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

/** The orders of NIST's curves (FIPS 186-5, SP 800-186). */
const orders: Readonly<Record<string, bigint>> = {
  "P-192": 0xffffffffffffffffffffffff99def836146bc9b1b4d22831n,
  "P-224": 0xffffffffffffffffffffffffffff16a2e0b8f03e13dd29455c5c2a3dn,
  "P-256": 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n,
  "P-384":
    0xffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973n,
  "P-521":
    0x1fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffa51868783bf2f966b7fcc0148f709a5d03bb5c9b8899c47aebb6fb71e91386409n,
};

/** Makes of a signature (r, s) the other one that is right too: (r, n - s). It takes no key. */
export function mirrored(signature: Uint8Array, curve = "P-256"): Buffer {
  const bytes = Buffer.from(signature);
  const start = bytes[1] === 0x81 ? 3 : 2;
  const r = bytes.subarray(start, start + 2 + (bytes[start + 1] ?? 0));
  const s = bytes.subarray(start + r.length + 2);
  const mirror = (orders[curve] ?? 0n) - BigInt(`0x${s.toString("hex")}`);
  const hex = mirror.toString(16);
  const number = Buffer.from(hex.padStart(hex.length + (hex.length % 2), "0"), "hex");
  const unsigned = (number[0] ?? 0) < 0x80 ? number : Buffer.concat([Buffer.from([0]), number]);
  const body = Buffer.concat([r, Buffer.from([2, unsigned.length]), unsigned]);
  const head = body.length < 0x80 ? [0x30, body.length] : [0x30, 0x81, body.length];
  return Buffer.concat([Buffer.from(head), body]);
}
