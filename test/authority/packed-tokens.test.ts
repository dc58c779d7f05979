import { randomBytes } from "node:crypto";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { PackedTokens } from "../../src/authority/packed-tokens.ts";
import type { TokenRecord } from "../../src/authority/token-table.ts";
import { asTokenDigest, type TokenDigest } from "../../src/policy/token.ts";

setFlagsFromString("--expose-gc");
const collectGarbage: () => void = runInNewContext("gc");

/** Digests that differ from one another in the last byte, in the fifth, or in the first. */
const digests = ["00", "01", "fe", "ff"].flatMap((byte) => [
  asTokenDigest(`${"00".repeat(31)}${byte}`),
  asTokenDigest(`${"ff".repeat(4)}${byte}${"00".repeat(27)}`),
  asTokenDigest(`${byte}${"a9".repeat(31)}`),
]);
const runIds = [0n, 1n, 2n ** 32n, 2n ** 63n, 2n ** 64n - 1n];

/** The table as one would write it with Maps: at most one token per run. */
class ModelTokens {
  readonly byRun = new Map<bigint, TokenRecord>();

  find(digest: TokenDigest): TokenRecord | undefined {
    return [...this.byRun.values()].find((record) => record.digest === digest);
  }

  put(record: TokenRecord): void {
    this.byRun.set(record.runId, record);
  }

  remove(runId: bigint): void {
    this.byRun.delete(runId);
  }
}

function randomDigest(): TokenDigest {
  return asTokenDigest(randomBytes(32).toString("hex"));
}

function expectSame(tokens: PackedTokens, model: ModelTokens, asked: readonly TokenDigest[]): void {
  for (const digest of asked) {
    const record = model.find(digest);
    expect(tokens.find(digest)).toEqual(
      record && { runId: record.runId, activeUntilMs: record.activeUntilMs },
    );
  }
}

const change = fc.record({
  runId: fc.constantFrom(...runIds),
  digest: fc.constantFrom(...digests),
  activeUntilMs: fc.integer({ min: -1, max: 2 ** 45 }),
  isRemoval: fc.boolean(),
});

describe("packed tokens", () => {
  it("are those of a plain table after any changes", () => {
    fc.assert(
      fc.property(fc.array(change, { maxLength: 60 }), (changes) => {
        const tokens = new PackedTokens();
        const model = new ModelTokens();
        for (const { isRemoval, ...record } of changes) {
          const holder = model.find(record.digest)?.runId ?? record.runId;
          if (isRemoval) {
            tokens.remove(record.runId);
            model.remove(record.runId);
          } else if (holder === record.runId) {
            // The database lets no two runs have one digest.
            tokens.put(record);
            model.put(record);
          }
          expectSame(tokens, model, digests);
        }
      }),
      { numRuns: 200 },
    );
  });

  it("are found by the whole digest only", () => {
    const tokens = new PackedTokens();
    const digest = randomDigest();
    tokens.put({ runId: 7n, digest, activeUntilMs: 1 });
    for (let i = 0; i < digest.length; i++) {
      const other = digest[i] === "0" ? "1" : "0";
      const near = asTokenDigest(`${digest.slice(0, i)}${other}${digest.slice(i + 1)}`);
      expect(tokens.find(near)).toBeUndefined();
    }
    expect(tokens.find(digest)).toEqual({ runId: 7n, activeUntilMs: 1 });
  });

  it("are replaced by the run's next one, be it good or not", () => {
    const tokens = new PackedTokens();
    const first = randomDigest();
    const second = randomDigest();
    tokens.put({ runId: 7n, digest: first, activeUntilMs: 1 });
    tokens.put({ runId: 7n, digest: second, activeUntilMs: 2 });
    expect(tokens.find(first)).toBeUndefined();
    expect(tokens.find(second)).toEqual({ runId: 7n, activeUntilMs: 2 });
  });

  it("are all there when there are many, and go one by one", () => {
    const tokens = new PackedTokens();
    const model = new Map<bigint, TokenRecord>();
    const put = (runId: bigint) => {
      const record = { runId, digest: randomDigest(), activeUntilMs: Number(runId) };
      tokens.put(record);
      model.set(runId, record);
    };
    const isThere = ({ runId, digest, activeUntilMs }: TokenRecord) => {
      const found = tokens.find(digest);
      return found?.runId === runId && found.activeUntilMs === activeUntilMs;
    };
    const count = 30_000;
    for (let i = 0; i < count; i++) {
      put(BigInt(i));
    }
    const replaced: TokenRecord[] = [];
    for (let i = 0; i < count; i += 3) {
      const before = model.get(BigInt(i));
      if (before !== undefined) {
        replaced.push(before);
      }
      put(BigInt(i));
    }
    expect(replaced.filter(({ digest }) => tokens.find(digest) !== undefined)).toEqual([]);
    expect([...model.values()].filter((record) => !isThere(record))).toEqual([]);
    const removed: TokenRecord[] = [];
    for (const record of model.values()) {
      if (record.runId % 10n !== 0n) {
        tokens.remove(record.runId);
        removed.push(record);
      }
    }
    expect(removed.filter(({ digest }) => tokens.find(digest) !== undefined)).toEqual([]);
    const left = [...model.values()].filter(({ runId }) => runId % 10n === 0n);
    expect(left.filter((record) => !isThere(record))).toEqual([]);
  });

  it("are not objects for the garbage collector to walk through", () => {
    const tokens = new PackedTokens();
    const put = (runId: number) =>
      tokens.put({ runId: BigInt(runId), digest: randomDigest(), activeUntilMs: 1 });
    put(0);
    collectGarbage();
    const before = process.memoryUsage();
    const count = 50_000;
    for (let i = 1; i <= count; i++) {
      put(i);
    }
    collectGarbage();
    const after = process.memoryUsage();
    expect((after.heapUsed - before.heapUsed) / count).toBeLessThan(20);
    expect((after.arrayBuffers - before.arrayBuffers) / count).toBeLessThan(120);
    put(0);
  });

  it("give their memory back when they go", async () => {
    const tokens = new PackedTokens();
    collectGarbage();
    const before = process.memoryUsage().arrayBuffers;
    const count = 50_000;
    for (let i = 0; i < count; i++) {
      tokens.put({ runId: BigInt(i), digest: randomDigest(), activeUntilMs: 1 });
    }
    expect(process.memoryUsage().arrayBuffers - before).toBeGreaterThan(48 * count);
    // The first ones first, whose rows others take.
    for (let i = 0; i < count; i++) {
      tokens.remove(BigInt(i));
    }
    const left = () => {
      collectGarbage();
      return process.memoryUsage().arrayBuffers - before;
    };
    // V8 may free what it has collected a little later.
    await expect.poll(left).toBeLessThan(512 * 1024);
    tokens.put({ runId: 0n, digest: randomDigest(), activeUntilMs: 1 });
  });

  it.each(["", "0".repeat(63), "0".repeat(66), `${"0".repeat(63)}g`])(
    "take no digest that is none: %j",
    (text) => {
      const tokens = new PackedTokens();
      tokens.put({ runId: 7n, digest: asTokenDigest("0".repeat(64)), activeUntilMs: 1 });
      const message = "a digest must be 64 hexadecimal characters";
      expect(() => tokens.find(asTokenDigest(text))).toThrow(message);
      const record = { runId: 8n, digest: asTokenDigest(text), activeUntilMs: 1 };
      expect(() => tokens.put(record)).toThrow(message);
    },
  );
});
