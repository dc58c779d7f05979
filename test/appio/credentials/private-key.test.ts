import { generateKeyPairSync, type KeyObject } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  assertSigningKey,
  generatePrivateKey,
  readPrivateKey,
} from "../../../src/appio/credentials/private-key.ts";
import { publicKeyOf } from "../../../src/appio/credentials/public-key.ts";
import { newKey, pemOf } from "./keys.ts";
import vectors from "./python-vectors.json" with { type: "json" };

const key = newKey();
const pkcs8 = { type: "pkcs8", format: "pem" } as const;

describe("a private key", () => {
  it("is made on P-384, as Flower's nodes make theirs", async () => {
    const made = await generatePrivateKey();
    expect(made.asymmetricKeyDetails?.namedCurve).toBe("secp384r1");
  });

  it.each(vectors)("is read as Python's cryptography writes it ($curve)", (vector) => {
    for (const text of [vector.pkcs8, vector.sec1, vector.openSshPrivate]) {
      if (text !== undefined) {
        expect(publicKeyOf(readPrivateKey(text, "the key"))?.pem).toBe(vector.pem);
      }
    }
  });

  const openSsh = vectors[3]?.openSshPrivate ?? "";
  it.each<[string, string, string]>([
    ["nothing", "", "cannot be read as a private key"],
    ["a public key", pemOf(key), "cannot be read as a private key"],
    [
      "an RSA key",
      generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey.export(pkcs8).toString(),
      "must be a private EC key on a NIST curve",
    ],
    ["off NIST's curves", newKey("secp256k1").export(pkcs8).toString(), "on a NIST curve"],
    [
      "encrypted (PKCS #8)",
      key.export({ ...pkcs8, cipher: "aes-256-cbc", passphrase: "x" }).toString(),
      "is encrypted: remove its passphrase",
    ],
    [
      "encrypted (SEC 1)",
      key
        .export({ type: "sec1", format: "pem", cipher: "aes-256-cbc", passphrase: "x" })
        .toString(),
      "is encrypted: remove its passphrase",
    ],
    [
      "encrypted (OpenSSH)",
      openSsh.replace("AAAABG5vbmUAAAAEbm9uZQ", "AAAACmFlczI1Ni1jdHIAAAAGYmNyeXB0"),
      "ssh-keygen -p",
    ],
    ["cut off (OpenSSH)", openSsh.replace(/.{80}\n-----END/s, "\n-----END"), "cut off"],
  ])("is not %s", (_name, text, message) => {
    const read = () => readPrivateKey(text, "FILE");
    expect(read).toThrow(TypeError);
    expect(read).toThrow(message);
    expect(read).toThrow("FILE");
  });

  it("is not shown when it cannot be read", () => {
    const lines = openSsh.trim().split("\n");
    const body = Buffer.from(lines.slice(1, -1).join(""), "base64");
    const changes = fc.record({
      at: fc.integer({ min: 0, max: body.length - 1 }),
      to: fc.integer({ min: 0, max: 255 }),
    });
    fc.assert(
      fc.property(changes, ({ at, to }) => {
        const changed = Buffer.from(body.with(at, to)).toString("base64");
        const text = `${lines[0]}\n${changed}\n${lines.at(-1)}\n`;
        let thrown: unknown;
        try {
          readPrivateKey(text, "the key");
        } catch (error) {
          thrown = error;
        }
        if (thrown !== undefined) {
          expect(thrown).toBeInstanceOf(TypeError);
          const shown = String(thrown instanceof Error ? thrown.stack : thrown);
          for (let start = 0; start + 12 <= changed.length; start += 12) {
            expect(shown).not.toContain(changed.slice(start, start + 12));
          }
        }
      }),
      { numRuns: 200 },
    );
  });

  it("must be one to sign with", () => {
    expect(assertSigningKey(key, '"privateKey"').pem).toBe(pemOf(key));
    const wrong: unknown[] = [
      publicKeyOf(key)?.key,
      generateKeyPairSync("ed25519").privateKey,
      "-----BEGIN",
      undefined,
    ];
    for (const one of wrong) {
      expect(() => assertSigningKey(one as KeyObject, '"privateKey"')).toThrow(
        new TypeError('"privateKey" must be a private EC key on a NIST curve'),
      );
    }
  });
});
