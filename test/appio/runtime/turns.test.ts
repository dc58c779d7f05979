import { expect, test } from "vitest";
import { createTurns } from "../../../src/appio/runtime/turns.ts";

/** Works on pieces of the given ranks at once, and returns the order in which they began. */
async function orderOf(limit: number, ranks: readonly number[]) {
  const inTurn = createTurns(limit);
  const begun: string[] = [];
  let going = 0;
  let most = 0;
  await Promise.all(
    ranks.map((rank, index) =>
      inTurn(rank, async () => {
        begun.push(`${rank}${"abcdefgh"[index]}`);
        going += 1;
        most = Math.max(most, going);
        await new Promise((resolve) => setImmediate(resolve));
        going -= 1;
      }),
    ),
  );
  return { begun, most };
}

test("the lowest rank is next, and of equals the one that waits longest", async () => {
  const { begun, most } = await orderOf(1, [3, 2, 1, 2, 1, 0]);
  expect(begun).toEqual(["3a", "0f", "1c", "1e", "2b", "2d"]);
  expect(most).toBe(1);
});

test("no more go on at a time than the limit", async () => {
  expect((await orderOf(2, [0, 0, 0, 0, 0])).most).toBe(2);
});

test("work that fails gives its turn to the next", async () => {
  const inTurn = createTurns(1);
  const failing = inTurn(0, () => Promise.reject(new Error("no")));
  const next = inTurn(0, async () => "done");
  await expect(failing).rejects.toThrow("no");
  expect(await next).toBe("done");
  expect(await inTurn(0, async () => "later")).toBe("later");
});
