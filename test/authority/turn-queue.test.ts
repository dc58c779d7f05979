import { expect, test } from "vitest";
import { createTurnQueue } from "../../src/authority/turn-queue.ts";

test("lets one in at a time, in the order of their coming", async () => {
  const queue = createTurnQueue();
  const inside: number[] = [];
  await queue.enter();
  const entering = [1, 2].map((each) => queue.enter().then(() => inside.push(each)));
  await new Promise((resolve) => setImmediate(resolve));
  expect(inside).toEqual([]);
  queue.leave();
  await entering[0];
  await new Promise((resolve) => setImmediate(resolve));
  expect(inside).toEqual([1]);
  queue.leave();
  await entering[1];
  expect(inside).toEqual([1, 2]);
  queue.leave();
  await queue.enter();
});
