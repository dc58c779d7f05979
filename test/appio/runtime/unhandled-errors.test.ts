import { expect, it } from "vitest";
import { watchUnhandled } from "../../../src/appio/runtime/unhandled-errors.ts";

function watch() {
  let fail = (_error: unknown) => {};
  const lines: string[] = [];
  const captureErrors = (given: typeof fail) => {
    fail = given;
    return () => {};
  };
  const errors = watchUnhandled({ captureErrors, onLog: (line) => lines.push(line) });
  return { errors, lines, fail: (error: unknown) => fail(error) };
}

it("an unhandled error fails the work that is under way, and the first one only", async () => {
  const { errors, lines, fail } = watch();
  const work = errors.during(() => new Promise<never>(() => {}));
  fail(new RangeError("first"));
  fail(new RangeError("second"));
  await expect(work).rejects.toThrow("first");
  expect(lines[0]).toBe("The app did not handle an error: second");
});

it("one that comes between two pieces of work is logged, and fails neither", async () => {
  const { errors, lines, fail } = watch();
  expect(await errors.during(() => "one")).toBe("one");
  fail(new RangeError("between"));
  expect(await errors.during(() => "two")).toBe("two");
  expect(lines[0]).toBe("The app did not handle an error: between");
});
