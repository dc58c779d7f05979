import fc from "fast-check";
import { expect, it } from "vitest";
import { type Linked, LinkedList } from "../../src/serve/linked-list.ts";

interface Entry extends Linked<Entry> {
  readonly name: number;
}

function entryOf(name: number): Entry {
  return { name, earlier: undefined, later: undefined };
}

/** A list of three. */
function listOfThree(): [LinkedList<Entry>, Entry, Entry, Entry] {
  const list = new LinkedList<Entry>();
  const entries: [Entry, Entry, Entry] = [entryOf(1), entryOf(2), entryOf(3)];
  for (const entry of entries) {
    list.add(entry);
  }
  return [list, ...entries];
}

it("has what was added and not taken out, in that order", () => {
  fc.assert(
    fc.property(fc.array(fc.option(fc.nat()), { maxLength: 40 }), (steps) => {
      const list = new LinkedList<Entry>();
      const expected: Entry[] = [];
      for (const [i, taken] of steps.entries()) {
        const [entry] = taken === null ? [] : expected.splice(taken % expected.length || 0, 1);
        if (entry === undefined) {
          const added = entryOf(i);
          expected.push(added);
          list.add(added);
        } else {
          list.delete(entry);
        }
        expect([...list].map(({ name }) => name)).toEqual(expected.map(({ name }) => name));
        expect(list.size).toBe(expected.length);
        expect(list.first?.name).toBe(expected[0]?.name);
      }
    }),
  );
});

it("lets entries be taken out while it is gone through", () => {
  const [list, ...entries] = listOfThree();
  const seen: number[] = [];
  for (const { name } of list) {
    seen.push(name);
    for (const entry of entries.splice(0)) {
      list.delete(entry);
    }
  }
  expect([seen, list.size]).toEqual([[1, 2, 3], 0]);
});

it("leaves nothing of the list in an entry that was taken out, which may be added again", () => {
  const [list, , middle] = listOfThree();
  list.delete(middle);
  expect(middle).toEqual(entryOf(2));
  list.add(middle);
  expect([...list].map(({ name }) => name)).toEqual([1, 3, 2]);
});
