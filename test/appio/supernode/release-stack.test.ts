import { expect, test } from "vitest";
import { ReleaseStack } from "../../../src/appio/supernode/release-stack.ts";

test("lets go in reverse order, of everything, and then throws the first failure", async () => {
  const released: string[] = [];
  const stack = new ReleaseStack();
  stack.defer(() => released.push("first"));
  stack.defer(async () => {
    released.push("second");
    throw new Error("second failed");
  });
  stack.defer(() => {
    released.push("third");
    throw new Error("third failed");
  });
  await expect(stack[Symbol.asyncDispose]()).rejects.toThrow("third failed");
  expect(released).toEqual(["third", "second", "first"]);
  await stack[Symbol.asyncDispose]();
  expect(released).toHaveLength(3);
});

test("lets go of nothing that was moved away", async () => {
  const released: string[] = [];
  let moved: ReleaseStack;
  {
    await using stack = new ReleaseStack();
    stack.defer(() => released.push("only"));
    moved = stack.move();
  }
  expect(released).toEqual([]);
  await moved[Symbol.asyncDispose]();
  expect(released).toEqual(["only"]);
});
