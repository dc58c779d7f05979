import fc from "fast-check";
import { expect, test } from "vitest";
import { RowIndex } from "../../src/authority/row-index.ts";

/** What may be done to row 0, 1, 2, ...: to add it, give it a number beyond the others, or remove it. */
interface Step {
  readonly what: "add" | "renumber" | "remove";
  readonly row: number;
  readonly hash: number;
}

const mostRows = 100;

/** Few hashes, so that chains are long, and those at both ends, so that chains go round. */
const hash = fc.oneof(
  fc.constantFrom(0, 1, 0x8000_0000, 0xf000_0000, 0xffff_fffe, 0xffff_ffff),
  fc.integer({ min: 0, max: 0xffff_ffff }),
);

const step: fc.Arbitrary<Step> = fc.record({
  what: fc.constantFrom("add", "add", "renumber", "remove"),
  row: fc.nat({ max: mostRows - 1 }),
  hash,
});

function hashOf(model: ReadonlyMap<number, number>, row: number): number {
  const known = model.get(row);
  if (known === undefined) {
    throw new Error("the model has no such row");
  }
  return known;
}

function run({ what, row, hash }: Step, index: RowIndex, model: Map<number, number>): void {
  if (!model.has(row)) {
    if (what === "add") {
      index.add(hash, row);
      model.set(row, hash);
    }
    return;
  }
  const known = hashOf(model, row);
  if (what === "remove") {
    index.remove(known, row);
    model.delete(row);
  } else if (what === "renumber" && !model.has(row + mostRows)) {
    index.renumber(known, row, row + mostRows);
    model.delete(row);
    model.set(row + mostRows, known);
  }
}

/** Asks for every row, and for one of the same hash that is not there: that shows all which have it. */
function expectSame(index: RowIndex, model: ReadonlyMap<number, number>): void {
  const alike = new Map<number, Set<number>>();
  for (const [row, hash] of model) {
    alike.set(hash, (alike.get(hash) ?? new Set()).add(row));
  }
  const wrong: number[] = [];
  for (const [row, hash] of model) {
    if (index.find(hash, (found) => found === row) !== row) {
      wrong.push(row);
    }
  }
  for (const [hash, rows] of alike) {
    const seen: number[] = [];
    index.find(hash, (found) => seen.push(found) < 0);
    if (seen.length !== rows.size || !seen.every((row) => rows.has(row))) {
      wrong.push(...rows);
    }
  }
  expect(wrong).toEqual([]);
}

test("an index has the rows that were added and not removed, each of them once", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 300, size: "max" }), (steps) => {
      const index = new RowIndex();
      const model = new Map<number, number>();
      for (const [i, one] of steps.entries()) {
        run(one, index, model);
        if (i % 16 === 0) {
          expectSame(index, model);
        }
      }
      expectSame(index, model);
      for (const row of [...model.keys()]) {
        index.remove(hashOf(model, row), row);
        model.delete(row);
        expectSame(index, model);
      }
    }),
    { numRuns: 100 },
  );
});

test("rows are found again after the index has grown and shrunk", () => {
  const index = new RowIndex();
  const rows = Array.from({ length: 10_000 }, (_, row) => row);
  const hashOfRow = (row: number) => Math.imul(row, 0x9e37_79b1) >>> 0;
  for (const row of rows) {
    index.add(hashOfRow(row), row);
  }
  const found = (row: number) => index.find(hashOfRow(row), (other) => other === row);
  expect(rows.filter((row) => found(row) !== row)).toEqual([]);
  for (const row of rows.slice(10)) {
    index.remove(hashOfRow(row), row);
  }
  expect(rows.filter((row) => found(row) === row)).toEqual(rows.slice(0, 10));
});

test("a row that is not there can be neither removed nor renumbered", () => {
  const index = new RowIndex();
  index.add(7, 0);
  expect(() => index.remove(7, 1)).toThrow("the index has no such row");
  expect(() => index.renumber(7, 1, 2)).toThrow("the index has no such row");
  expect(index.find(7, () => true)).toBe(0);
});
