import { generateKeyPairSync } from "node:crypto";
import fc from "fast-check";
import { afterAll, describe, expect, test } from "vitest";
import { readPrivateKey } from "../../src/appio/credentials/private-key.ts";
import { parsePublicKey, readPublicKey } from "../../src/appio/credentials/public-key.ts";
import { parseTimestamp } from "../../src/appio/credentials/timestamp.ts";
import { readBundle } from "../../src/appio/launch/bundle.ts";
import { readFlowerBundle } from "../../src/appio/launch/flower-bundle.ts";
import { ArrayRecord } from "../../src/appio/objects/array-record.ts";
import { ConfigRecord } from "../../src/appio/objects/config-record.ts";
import { contentsOf, deflate } from "../../src/appio/objects/deflate.ts";
import { inflate } from "../../src/appio/objects/inflate.ts";
import { Message } from "../../src/appio/objects/message.ts";
import { MetricRecord } from "../../src/appio/objects/metric-record.ts";
import { NdArray } from "../../src/appio/objects/nd-array.ts";
import {
  decodeNpyElements,
  decodeNpyHeader,
  encodeNpyHeader,
} from "../../src/appio/objects/npy.ts";
import { objectIdOf } from "../../src/appio/objects/object-id.ts";
import { RecordDict } from "../../src/appio/objects/record-dict.ts";
import { isToken, parseToken } from "../../src/policy/token.ts";
import { appBundle } from "../appio/launch/archive.ts";
import { flowerArchive, flowerManifest } from "../appio/launch/flower-archive.ts";
import { bytesLike, inputCount, join, near, seed, text } from "./inputs.ts";

let inputs = 0;
afterAll(() => console.log(`${inputs} inputs to decoders; seed ${seed}`));

/** Feeds a share of all inputs to a decoder, and looks at how it refuses them. */
function fuzz<T>(share: number, input: fc.Arbitrary<T>, decode: (input: T) => void): void {
  const numRuns = Math.max(100, Math.round(inputCount * share));
  fc.assert(fc.property(input, decode), { numRuns, seed, endOnFailure: true });
  inputs += numRuns;
}

/** Decodes, and accepts errors of these names only: any other is a decoder that stumbled. */
function refusing(names: readonly string[], decode: () => unknown): void {
  try {
    decode();
  } catch (error) {
    expect(names, `${error}`).toContain(error instanceof Error ? error.name : typeof error);
    expect(String(error)).toMatch(/\w+: ./);
  }
}

const content = new RecordDict({
  model: new ArrayRecord({ weights: NdArray.from(Float32Array.of(1, 2, 3)) }),
  metrics: new MetricRecord({ loss: 0.5, counts: [1n, 2n] }),
  config: new ConfigRecord({ rate: 0.1, name: "x", on: true, raw: new Uint8Array([1]) }),
});
const message = deflate(new Message({ content, messageType: "train", dstNodeId: 5n }));
const objects = [...contentsOf(message)];

describe("decoders refuse what they cannot read in their own words", () => {
  test("objects: head, children and body of every type", () => {
    const index = fc.nat(objects.length - 1);
    const one = index.chain((at) =>
      near(fc.constant(objects[at]?.[1] ?? new Uint8Array())).map((bytes) => ({ at, bytes })),
    );
    fuzz(0.1, one, ({ at, bytes }) => {
      const contents = new Map<string, Uint8Array>(objects);
      contents.set(objects[at]?.[0] ?? "", bytes);
      refusing(["InflateError", "ObjectStructureError", "NpyError"], () =>
        inflate(message.id, contents),
      );
    });
    fuzz(0.05, bytesLike(...objects.map(([, bytes]) => bytes)), (bytes) => {
      const id = objectIdOf(bytes);
      refusing(["InflateError", "ObjectStructureError", "NpyError"], () =>
        inflate(id, new Map([...objects, [id, bytes]])),
      );
    });
  });

  test(".npy headers and elements", () => {
    const whole = join(encodeNpyHeader("float32", [2, 2]), new Uint8Array(16));
    fuzz(0.05, bytesLike(whole), (bytes) =>
      refusing(["NpyError"], () => {
        const header = decodeNpyHeader([bytes]);
        return decodeNpyElements([bytes], header);
      }),
    );
  });

  test("tokens", () => {
    fuzz(0.05, fc.oneof(fc.string(), fc.string({ unit: "binary" })), (value) => {
      refusing(["TypeError"], () => {
        expect(parseToken(value)).toBe(value);
        expect(isToken(value)).toBe(true);
        // Fit for a header and for nothing that a header could be joined with.
        expect(value).toMatch(/^[!-+\--~]+$/);
      });
    });
  });

  test("timestamps", () => {
    const stamp = text("2026-11-23T00:00:00.000000+00:00");
    fuzz(0.05, bytesLike(stamp), (bytes) => {
      const instant = parseTimestamp(Buffer.from(bytes).toString("latin1"));
      expect(instant === undefined || Number.isFinite(instant)).toBe(true);
    });
  });

  test("public and private keys, in PEM and in OpenSSH's format", () => {
    const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const spki = text(String(publicKey.export({ type: "spki", format: "pem" })));
    const pkcs8 = text(String(privateKey.export({ type: "pkcs8", format: "pem" })));
    fuzz(0.02, bytesLike(spki), (bytes) => {
      expect(parsePublicKey(bytes)?.fingerprint ?? "0".repeat(64)).toMatch(/^[0-9a-f]{64}$/);
      refusing(["TypeError"], () => readPublicKey(Buffer.from(bytes).toString("latin1"), '"key"'));
    });
    fuzz(0.02, bytesLike(pkcs8), (bytes) =>
      refusing(["TypeError"], () => readPrivateKey(Buffer.from(bytes).toString("latin1"), '"key"')),
    );
  });

  test("app bundles, of npm pack and of flwr build", async () => {
    const packed = appBundle({ clientapp: "./a.js" }, { "a.js": "export default 1;" });
    const numRuns = Math.max(100, Math.round(inputCount * 0.02));
    await fc.assert(
      fc.asyncProperty(bytesLike(packed), async (bytes) => {
        const outcome = await readBundle(bytes).catch((error: unknown) => error);
        if (outcome instanceof Error) {
          expect(outcome.name, `${outcome.stack}`).toBe("Error");
        }
      }),
      { numRuns, seed, endOnFailure: true },
    );
    inputs += numRuns;
    fuzz(0.02, bytesLike(flowerArchive(flowerManifest)), (bytes) =>
      refusing(["Error"], () => readFlowerBundle(bytes)),
    );
  });
});
