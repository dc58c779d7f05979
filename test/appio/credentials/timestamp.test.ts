import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  formatTimestamp,
  freshForMs,
  isFresh,
  parseTimestamp,
} from "../../../src/appio/credentials/timestamp.ts";

const instants = fc.integer({ min: Date.UTC(2000), max: Date.UTC(2100) });

describe("a timestamp", () => {
  it("is written in UTC, with an offset that every Python reads", () => {
    expect(formatTimestamp(Date.UTC(2026, 10, 23, 7, 5, 9, 40))).toBe(
      "2026-11-23T07:05:09.040+00:00",
    );
  });

  it("is read as it was written", () => {
    fc.assert(
      fc.property(instants, (instant) => {
        expect(parseTimestamp(formatTimestamp(instant))).toBe(instant);
      }),
    );
  });

  it("is read with any offset", () => {
    const offsets = fc.integer({ min: -14 * 60, max: 14 * 60 });
    fc.assert(
      fc.property(instants, offsets, (instant, minutes) => {
        const local = new Date(instant + minutes * 60_000).toISOString().slice(0, -1);
        const two = (value: number) => String(value).padStart(2, "0");
        const [hours, rest] = [Math.floor(Math.abs(minutes) / 60), Math.abs(minutes) % 60];
        const offset = `${minutes < 0 ? "-" : "+"}${two(hours)}:${two(rest)}`;
        expect(parseTimestamp(`${local}${offset}`)).toBe(instant);
      }),
    );
  });

  it.each([
    ["2026-11-23T00:00:00+00:00", "without a fraction"],
    ["2026-11-23T00:00:00.000000+00:00", "with microseconds, as Python writes it"],
    ["2026-11-23T00:00:00Z", "with Z, which Python 3.11 reads"],
    ["2026-11-22T19:00:00-05:00", "with another offset"],
  ])("%s is read (%s)", (text) => {
    expect(parseTimestamp(text)).toBe(Date.UTC(2026, 10, 23));
  });

  it.each([
    ["2026-11-23T00:00:00", "has no offset"],
    ["2026-11-23 00:00:00+00:00", "has a blank"],
    ["2026-11-23T00:00:00z", "has a small z"],
    ["2026-11-23T00:00+00:00", "has no seconds"],
    ["2026-11-23T00:00:00+00", "has half an offset"],
    ["2026-13-23T00:00:00+00:00", "has 13 months"],
    ["2026-11-23T24:00:01+00:00", "has more than 24 hours"],
    ["1795392000", "counts seconds"],
    ["now", "is a word"],
    ["", "is empty"],
    [`2026-11-23T00:00:00.${"0".repeat(1_000)}Z`, "is long"],
    ["2026-11-23T00:00:00+00:00\n", "has a line end"],
  ])("%j is refused: it %s", (text) => {
    expect(parseTimestamp(text)).toBeUndefined();
  });
});

describe("a signature's age", () => {
  const at = (ageSeconds: number, toleranceSeconds = 300) =>
    isFresh(1_000_000, 1_000_000 + ageSeconds * 1_000, toleranceSeconds);

  it("is right from -5 s to 305 s, both excluded", () => {
    const right = [-4.999, 0, 304, 304.999];
    const wrong = [-6, -5, 305, 306];
    expect(right.map((age) => at(age))).toEqual(right.map(() => true));
    expect(wrong.map((age) => at(age))).toEqual(wrong.map(() => false));
  });

  it("follows the tolerance at one end", () => {
    expect([at(14.999, 10), at(15, 10), at(-4.999, 10), at(-5, 10)]).toEqual([
      ...[true, false, true, false],
    ]);
  });

  it("is never right any more once a signature may be forgotten", () => {
    const ages = fc.integer({ min: 0, max: 400_000 });
    fc.assert(
      fc.property(ages, fc.integer({ min: 1, max: 400 }), (beyondMs, toleranceSeconds) => {
        const end = freshForMs(toleranceSeconds);
        expect(isFresh(0, end - 1, toleranceSeconds)).toBe(true);
        expect(isFresh(0, end + beyondMs, toleranceSeconds)).toBe(false);
      }),
    );
  });

  it("is not right when the clock gives no number", () => {
    expect(isFresh(0, Number.NaN, 300)).toBe(false);
  });
});
