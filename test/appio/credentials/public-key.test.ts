import { createPublicKey, generateKeyPairSync } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  parsePublicKey,
  publicKeyOf,
  readPublicKey,
} from "../../../src/appio/credentials/public-key.ts";
import { newKey, pemOf } from "./keys.ts";
import vectors from "./python-vectors.json" with { type: "json" };

const bytes = (text: string) => new TextEncoder().encode(text);
const curves = ["P-192", "P-224", "P-256", "P-384", "P-521"];
const pem = pemOf(newKey());
const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
const spki = { type: "spki", format: "pem" } as const;

describe("the public key of a header", () => {
  it.each(curves)("may lie on %s", (curve) => {
    const key = newKey(curve);
    const parsed = parsePublicKey(bytes(pemOf(key)));
    expect(parsed?.pem).toBe(pemOf(key));
    expect(parsed?.fingerprint).toMatch(/^[0-9a-f]{64}$/);
    expect(publicKeyOf(key)).toMatchObject({ pem: parsed?.pem, fingerprint: parsed?.fingerprint });
  });

  it.each(vectors)("is what Python's cryptography writes ($curve)", ({ pem }) => {
    expect(parsePublicKey(bytes(pem))?.pem).toBe(pem);
  });

  it.each([
    ["nothing", ""],
    ["text", "a public key"],
    ["a private key", newKey().export({ type: "pkcs8", format: "pem" }).toString()],
    ["an RSA key", rsa.publicKey.export(spki).toString()],
    ["an Ed25519 key", generateKeyPairSync("ed25519").publicKey.export(spki).toString()],
    ["a key on a curve that is not NIST's", pemOf(newKey("secp256k1"))],
    ["two keys", pem + pem],
    ["a key and a blank", `${pem} `],
    ["a key without its last line end", pem.trimEnd()],
    ["a key with other line ends", pem.replaceAll("\n", "\r\n")],
    ["a key on one line", pem.replaceAll(/(?<=[A-Za-z0-9+/])\n(?=[A-Za-z0-9+/])/g, "")],
    ["a key after text", `key\n${pem}`],
    ["an OpenSSH line", vectors[2]?.openSshPublic ?? ""],
    ["a key that is cut off", pem.slice(0, 100)],
    ["3 KB of a key", pem.replace("-----END", `${"A".repeat(3_000)}\n-----END`)],
  ])("is not %s", (_name, text) => {
    expect(parsePublicKey(bytes(text))).toBeUndefined();
  });

  it("has one spelling: no other bytes are the same key", () => {
    const parsed = bytes(pem);
    const changes = fc.record({
      at: fc.integer({ min: 0, max: parsed.length - 1 }),
      to: fc.integer({ min: 0, max: 255 }),
    });
    fc.assert(
      fc.property(changes, ({ at, to }) => {
        const changed = parsed.with(at, to);
        const text = Buffer.from(changed).toString("latin1");
        const key = parsePublicKey(changed);
        expect(key === undefined || key.pem === text).toBe(true);
      }),
      { numRuns: 300 },
    );
  });
});

describe("a public key that an operator has written down", () => {
  it.each(vectors)("is PEM ($curve)", ({ pem }) => {
    expect(readPublicKey(`\n${pem}\n`, "the key").pem).toBe(pem);
    expect(readPublicKey(pem.replaceAll("\n", "\r\n"), "the key").pem).toBe(pem);
  });

  it.each(vectors.filter(({ openSshPublic }) => openSshPublic !== undefined))(
    "is a line of OpenSSH's ($curve)",
    ({ openSshPublic = "", pem }) => {
      expect(readPublicKey(openSshPublic, "the key").pem).toBe(pem);
      expect(readPublicKey(`  ${openSshPublic} me@example.com\n`, "the key").pem).toBe(pem);
    },
  );

  const line = vectors[2]?.openSshPublic ?? "";
  const [, blob = ""] = line.split(" ");
  it.each([
    ["nothing", "", "must be a public EC key on a NIST curve"],
    [
      "a private key",
      newKey().export({ type: "pkcs8", format: "pem" }).toString(),
      "must be a public EC key",
    ],
    ["an RSA key", rsa.publicKey.export(spki).toString(), "must be a public EC key"],
    ["damaged PEM", pem.replace("M", "!"), "cannot be read as a public key"],
    ["a line of another type", `ecdsa-sha2-nistp384 ${blob}`, "type that stands before it"],
    ["a line that is cut off", line.slice(0, 60), "cut off"],
    ["an Ed25519 line", `ssh-ed25519 ${blob}`, "must be a public EC key"],
  ])("is not %s", (_name, text, message) => {
    const read = () => readPublicKey(text, '"publicKeys": key 1');
    expect(read).toThrow(TypeError);
    expect(read).toThrow(message);
    expect(read).toThrow('"publicKeys": key 1');
  });

  it("is refused in one way, however its line is changed", () => {
    const point = Buffer.from(blob, "base64");
    const changes = fc.record({
      at: fc.integer({ min: 0, max: point.length - 1 }),
      to: fc.integer({ min: 0, max: 255 }),
    });
    fc.assert(
      fc.property(changes, ({ at, to }) => {
        fc.pre(point[at] !== to);
        const changed = Buffer.from(point.with(at, to)).toString("base64");
        expect(() => readPublicKey(`ecdsa-sha2-nistp256 ${changed}`, "the key")).toThrow(TypeError);
      }),
      { numRuns: 300 },
    );
  });
});

it("publicKeyOf takes public keys too, and no others than those of NIST's curves", () => {
  const key = newKey();
  expect(publicKeyOf(createPublicKey(key))?.pem).toBe(pemOf(key));
  expect(publicKeyOf(rsa.privateKey)).toBeUndefined();
});
