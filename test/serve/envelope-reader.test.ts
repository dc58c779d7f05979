import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { EnvelopeReader } from "../../src/serve/envelope-reader.ts";

const kibibyte = 1024;

setFlagsFromString("--expose-gc");
const collectGarbage: () => void = runInNewContext("gc");

/** A message of a length, and every byte of it another than its neighbours. */
function framed(length: number, flags = 0): Uint8Array {
  const bytes = Buffer.alloc(5 + length);
  bytes[0] = flags;
  bytes.writeUInt32BE(length, 1);
  for (let i = 0; i < length; i++) {
    bytes[5 + i] = (i * 31 + (i >> 8)) % 251;
  }
  return bytes;
}

/** A piece in memory of its own, as sockets bring it: a part of what was read at once. */
function piece(bytes: Uint8Array, readBytes: number): Uint8Array {
  const memory = new Uint8Array(Math.max(readBytes, bytes.length));
  memory.set(bytes);
  return memory.subarray(0, bytes.length);
}

function readAll(body: Uint8Array, pieceBytes: readonly number[], readBytes: number) {
  const reader = new EnvelopeReader(() => {});
  const messages: { flags: number; data: Uint8Array }[] = [];
  for (let at = 0, i = 0; at < body.length; i++) {
    const end = Math.min(body.length, at + (pieceBytes[i % pieceBytes.length] ?? 1));
    messages.push(...reader.push(piece(body.subarray(at, end), readBytes)));
    at = end;
  }
  return { messages, isIncomplete: reader.isIncomplete };
}

describe("an envelope reader", () => {
  it.each([
    ["in whole frames", [16 * kibibyte], 64 * kibibyte],
    ["in large pieces", [100_000], 0],
    ["in small pieces of large reads", [1_000], 64 * kibibyte],
    ["in pieces of all sizes", [5, 1, 16_384, 3, 70_000, 999], 64 * kibibyte],
  ])("puts a message of a mebibyte together, %s", (_, pieceBytes, readBytes) => {
    const body = framed(kibibyte * kibibyte, 1);
    const { messages, isIncomplete } = readAll(body, pieceBytes, readBytes);
    expect(messages).toHaveLength(1);
    expect(messages[0]?.flags).toBe(1);
    expect(Buffer.compare(messages[0]?.data ?? new Uint8Array(), body.subarray(5))).toBe(0);
    expect(messages[0]?.data.buffer.byteLength).toBe(kibibyte * kibibyte);
    expect(isIncomplete).toBe(false);
  });

  it("takes bodies apart alike, however they are cut", () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof(fc.nat(40), fc.integer({ min: 60_000, max: 600_000 })), { maxLength: 4 }),
        fc.array(fc.integer({ min: 1, max: 50_000 }), { minLength: 1, maxLength: 5 }),
        (lengths, pieceBytes) => {
          fc.pre(
            lengths.reduce((sum, length) => sum + length, 0) / Math.max(...pieceBytes) < 5_000,
          );
          const bodies = lengths.map((length) => framed(length));
          const { messages, isIncomplete } = readAll(Buffer.concat(bodies), pieceBytes, 0);
          expect(isIncomplete).toBe(false);
          expect(messages).toHaveLength(lengths.length);
          for (const [i, { data }] of messages.entries()) {
            expect(Buffer.compare(data, bodies[i]?.subarray(5) ?? data)).toBe(0);
            expect(Object.getPrototypeOf(data)).toBe(Uint8Array.prototype);
          }
        },
      ),
      { numRuns: 50 },
    );
  });

  it("keeps alive no more than a few times what has arrived, in however small pieces", async () => {
    // The beginning of a message of 64 MiB, ten bytes of it in each read of 64 KiB.
    const start = framed(64 * kibibyte * kibibyte).subarray(0, 20_000);
    const read: WeakRef<ArrayBufferLike>[] = [];
    const reader = new EnvelopeReader(() => {});
    for (let at = 0; at < start.length; at += 10) {
      const bytes = piece(start.subarray(at, at + 10), 64 * kibibyte);
      read.push(new WeakRef(bytes.buffer));
      reader.push(bytes);
    }
    // What a WeakRef was made of lives to the end of the turn.
    await new Promise((resolve) => setImmediate(resolve));
    collectGarbage();
    expect(reader.isIncomplete).toBe(true);
    expect(read.filter((ref) => ref.deref() !== undefined).length).toBeLessThan(5);
  });
});
