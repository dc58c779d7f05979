import { createSign } from "node:crypto";
import { describe, expect, it } from "vitest";
import { publicKeyOf } from "../../../src/appio/credentials/public-key.ts";
import {
  isSignatureOf,
  signatureIdentity,
  signText,
} from "../../../src/appio/credentials/signature.ts";
import { mirrored, newKey } from "./keys.ts";
import vectors from "./python-vectors.json" with { type: "json" };

const curves = ["P-192", "P-224", "P-256", "P-384", "P-521"];

function publicHalf(key: ReturnType<typeof newKey>) {
  const publicKey = publicKeyOf(key);
  if (publicKey === undefined) {
    throw new Error("no key on a NIST curve");
  }
  return publicKey.key;
}

describe("a signature", () => {
  it.each(curves)("is right for one text and one key (%s)", async (curve) => {
    const [key, other] = [newKey(curve), newKey(curve)];
    const signature = await signText("a text", key);
    expect(await isSignatureOf("a text", signature, publicHalf(key))).toBe(true);
    expect(await isSignatureOf("A text", signature, publicHalf(key))).toBe(false);
    expect(await isSignatureOf("a text", signature, publicHalf(other))).toBe(false);
  });

  it.each(vectors)("of Python's cryptography is right ($curve)", async (vector) => {
    const key = publicKeyOf((await import("node:crypto")).createPublicKey(vector.pem));
    const signature = Buffer.from(vector.nodeSignature, "hex");
    expect(key && (await isSignatureOf(vector.timestamp, signature, key.key))).toBe(true);
  });

  const key = newKey();
  const sha384 = createSign("sha384").update("a text").sign(key);
  const raw = createSign("sha256").update("a text").sign({ key, dsaEncoding: "ieee-p1363" });
  it.each<[string, Uint8Array]>([
    ["empty", new Uint8Array()],
    ["garbage", Buffer.from("30060201010201", "hex")],
    ["all zero", Buffer.from("3006020100020100", "hex")],
    ["text", Buffer.from("a signature")],
    ["of another digest", sha384],
    ["not DER", raw],
    ["4 KB long", Buffer.alloc(4_096, 0x30)],
  ])("is wrong when it is %s", async (_name, signature) => {
    expect(await isSignatureOf("a text", signature, publicHalf(key))).toBe(false);
  });

  it("is wrong when it is longer or shorter than its DER says", async () => {
    const signature = await signText("a text", key);
    const longer = Buffer.concat([signature, Buffer.from([0])]);
    for (const changed of [longer, signature.subarray(0, -1)]) {
      expect(await isSignatureOf("a text", changed, publicHalf(key))).toBe(false);
    }
  });

  it.each(curves)("and its mirror image are right, and have one identity (%s)", async (curve) => {
    const signer = newKey(curve);
    const signature = await signText("a text", signer);
    const mirror = mirrored(signature, curve);
    expect(Buffer.compare(mirror, signature)).not.toBe(0);
    expect(await isSignatureOf("a text", mirror, publicHalf(signer))).toBe(true);
    expect(signatureIdentity(mirror)).toBe(signatureIdentity(signature));
    const another = signatureIdentity(await signText("a text", signer));
    expect(another).not.toBe(signatureIdentity(signature));
    expect(another.length).toBeGreaterThan(20);
  });
});
