import { describe, expect, it } from "vitest";
import { freeBytes } from "../../../src/appio/state/free-bytes.ts";

const size = 256 * 1024;

describe("freeBytes", () => {
  it("gives back what a message had around it too", () => {
    const memory = new ArrayBuffer(size);
    const bytes = new Uint8Array(memory, 100);
    freeBytes(bytes);
    expect([bytes.length, memory.byteLength, memory.detached]).toEqual([0, 0, true]);
  });

  it("leaves a part of a larger memory alone", () => {
    const memory = new ArrayBuffer(size);
    freeBytes(new Uint8Array(memory, 0, size - 2048));
    expect(memory.byteLength).toBe(size);
  });

  it("leaves few bytes alone, which may be from a pool", () => {
    const pooled = Buffer.allocUnsafe(16);
    const memory = pooled.buffer.byteLength;
    freeBytes(pooled);
    freeBytes(new Uint8Array(pooled.buffer));
    expect([pooled.length, pooled.buffer.byteLength]).toEqual([16, memory]);
  });

  it("leaves memory alone that threads share", () => {
    const bytes = new Uint8Array(new SharedArrayBuffer(size));
    freeBytes(bytes);
    expect(bytes.length).toBe(size);
  });
});
