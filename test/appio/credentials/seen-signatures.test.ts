import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { SeenSignatures } from "../../../src/appio/credentials/seen-signatures.ts";

const lifetimeMs = 100;

describe("what remembers signatures", () => {
  it("knows each for its lifetime, and refuses it after that", () => {
    const seen = new SeenSignatures(lifetimeMs, 10);
    expect(seen.add("a", 0, 0)).toBe("new");
    expect(seen.add("a", 0, 0)).toBe("seen");
    expect(seen.add("a", 0, 99)).toBe("seen");
    expect(seen.add("b", 100, 100)).toBe("new");
    expect(seen.size, "a is forgotten").toBe(1);
    expect(seen.add("a", 0, 100)).toBe("forgotten");
  });

  it("takes no more than it has room for, and forgets none early", () => {
    const seen = new SeenSignatures(lifetimeMs, 2);
    expect([seen.add("a", 0, 0), seen.add("b", 50, 50), seen.add("c", 60, 60)]).toEqual([
      "new",
      "new",
      "full",
    ]);
    expect(seen.add("a", 0, 99)).toBe("seen");
    expect(seen.add("c", 60, 100), "a is forgotten").toBe("new");
    expect(seen.add("d", 149, 149)).toBe("full");
  });

  it("accepts none again that it has forgotten when the clock goes back", () => {
    const seen = new SeenSignatures(lifetimeMs, 10);
    expect(seen.add("a", 0, 0)).toBe("new");
    expect(seen.add("b", 150, 150)).toBe("new");
    expect(seen.add("a", 0, 1), "looks fresh again").toBe("forgotten");
    expect(seen.add("b", 150, 146)).toBe("seen");
    expect(seen.add("c", 1, 1), "is younger than what is forgotten").toBe("new");
  });

  it("goes on when the clock has been ahead for a moment", () => {
    const seen = new SeenSignatures(lifetimeMs, 3);
    expect(seen.add("a", 0, 0)).toBe("new");
    expect(seen.add("ahead", 1e9, 1e9)).toBe("new");
    for (let now = 60; now < 10_000; now += 60) {
      expect(seen.add(`at ${now}`, now, now)).toBe("new");
    }
    expect(seen.size, "and does not fill up").toBeLessThanOrEqual(3);
  });

  /** Signatures that are shown while they are fresh: less than a lifetime old, at most 5 ahead. */
  const isFresh = (instant: number, now: number) => now - instant < lifetimeMs && instant < now + 5;
  /** Few enough that many are shown more than once. */
  const instants = fc.integer({ min: 0, max: 20 }).map((step) => step * 20);

  it("accepts none twice, whatever the clock does", () => {
    const show = fc.record({ instant: instants, now: instants });
    const shows = fc.array(show, { maxLength: 100, size: "max" });
    fc.assert(
      fc.property(shows, fc.integer({ min: 1, max: 20 }), (shown, capacity) => {
        const seen = new SeenSignatures(lifetimeMs, capacity);
        const accepted = new Set<number>();
        for (const { instant, now } of shown.filter((show) => isFresh(show.instant, show.now))) {
          if (seen.add(`made at ${instant}`, instant, now) === "new") {
            expect(accepted).not.toContain(instant);
            accepted.add(instant);
          }
          expect(seen.size).toBeLessThanOrEqual(capacity);
        }
      }),
    );
  });

  it("accepts each once while the clock does not go back, if there is room", () => {
    const shows = fc.array(
      fc.record({
        ageMs: fc.integer({ min: -4, max: 99 }),
        who: fc.constantFrom(..."abc"),
        afterMs: fc.integer({ min: 0, max: 60 }),
      }),
      { maxLength: 100 },
    );
    fc.assert(
      fc.property(shows, (shown) => {
        const seen = new SeenSignatures(lifetimeMs, 1_000);
        const accepted = new Set<string>();
        let now = 0;
        for (const { ageMs, who, afterMs } of shown) {
          now += afterMs;
          const identity = `${who} at ${now - ageMs}`;
          expect(seen.add(identity, now - ageMs, now)).toBe(
            accepted.has(identity) ? "seen" : "new",
          );
          accepted.add(identity);
        }
        expect(seen.add("the last", now + 1_000, now + 1_000)).toBe("new");
        expect(seen.size, "all others are forgotten").toBe(1);
      }),
    );
  });
});
