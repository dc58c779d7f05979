import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { SeenSignatures } from "../../../src/appio/credentials/seen-signatures.ts";

describe("what remembers signatures", () => {
  it("knows each for its lifetime, and forgets it then", () => {
    const seen = new SeenSignatures(100, 10);
    expect(seen.add("a", 0)).toBe("new");
    expect(seen.add("a", 0)).toBe("seen");
    expect(seen.add("a", 99)).toBe("seen");
    expect(seen.add("a", 100)).toBe("new");
    expect(seen.add("a", 199)).toBe("seen");
    expect(seen.size).toBe(1);
  });

  it("takes no more than it has room for, and forgets none early", () => {
    const seen = new SeenSignatures(100, 2);
    expect([seen.add("a", 0), seen.add("b", 50), seen.add("c", 60)]).toEqual([
      "new",
      "new",
      "full",
    ]);
    expect(seen.add("a", 99)).toBe("seen");
    expect(seen.add("c", 100), "a is forgotten").toBe("new");
    expect(seen.add("d", 149)).toBe("full");
  });

  it("accepts none twice within its lifetime, in whatever order", () => {
    const shows = fc.array(
      fc.record({
        identity: fc.constantFrom(..."abcdef"),
        afterMs: fc.integer({ min: 0, max: 60 }),
      }),
      { maxLength: 60 },
    );
    fc.assert(
      fc.property(shows, fc.integer({ min: 1, max: 6 }), (shown, capacity) => {
        const seen = new SeenSignatures(100, capacity);
        const acceptedAt = new Map<string, number>();
        let now = 0;
        for (const { identity, afterMs } of shown) {
          now += afterMs;
          const before = acceptedAt.get(identity);
          const isRemembered = before !== undefined && now - before < 100;
          const sighting = seen.add(identity, now);
          expect(sighting === "seen").toBe(isRemembered);
          if (sighting === "new") {
            acceptedAt.set(identity, now);
          } else if (sighting === "full") {
            const alive = [...acceptedAt.values()].filter((at) => now - at < 100);
            expect(alive).toHaveLength(capacity);
          }
          expect(seen.size).toBeLessThanOrEqual(capacity);
        }
      }),
    );
  });
});
