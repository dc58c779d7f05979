import fc from "fast-check";
import { expect, it } from "vitest";
import { OpenCalls, type Place } from "../../src/serve/open-calls.ts";

it("has the calls that were added and not taken out, in their order", () => {
  fc.assert(
    fc.property(fc.array(fc.option(fc.nat()), { maxLength: 40 }), (steps) => {
      const calls = new OpenCalls<number>();
      const expected: Place<number>[] = [];
      for (const [i, taken] of steps.entries()) {
        const [place] = taken === null ? [] : expected.splice(taken % expected.length || 0, 1);
        if (place === undefined) {
          expected.push(calls.add(i));
        } else {
          calls.delete(place);
        }
        expect([...calls]).toEqual(expected.map(({ call }) => call));
        expect(calls.size).toBe(expected.length);
      }
    }),
  );
});

it("lets calls be taken out while it is gone through", () => {
  const calls = new OpenCalls<number>();
  const places = [1, 2, 3].map((call) => calls.add(call));
  const seen: number[] = [];
  for (const call of calls) {
    seen.push(call);
    for (const place of places.splice(0)) {
      calls.delete(place);
    }
  }
  expect([seen, calls.size]).toEqual([[1, 2, 3], 0]);
});

it("leaves nothing of the list in a place that was taken out", () => {
  const calls = new OpenCalls<number>();
  const [, middle] = [1, 2, 3].map((call) => calls.add(call));
  if (middle === undefined) {
    throw new Error("there is no second place");
  }
  calls.delete(middle);
  expect(middle).toEqual({ call: 2, earlier: undefined, later: undefined });
});
