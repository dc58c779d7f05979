import { expect, it } from "vitest";
import { askStore } from "../../src/authority/ask-store.ts";
import { SqlError } from "../../src/authority/sql-error.ts";
import { storeUnavailable } from "../../src/policy/verifier.ts";

const gone = new SqlError("the database is unavailable: ECONNREFUSED", "unavailable");

it("asks again while the store is out of reach", async () => {
  let tries = 0;
  const ask = async () => {
    tries += 1;
    if (tries < 4) {
      throw gone;
    }
    return "answer";
  };
  expect(await askStore(ask, { timeoutMs: 10_000 })).toBe("answer");
  expect(tries).toBe(4);
});

it("gives up when the time is over, and asks no more", async () => {
  let tries = 0;
  const ask = async () => {
    tries += 1;
    throw gone;
  };
  expect(await askStore(ask, { timeoutMs: 150 })).toEqual(storeUnavailable(gone));
  const triesInTime = tries;
  expect(triesInTime).toBeGreaterThan(1);
  // Longer than any pause between two tries.
  await new Promise((resolve) => setTimeout(resolve, 700));
  expect(tries).toBe(triesInTime);
});

it("does not wait for a store that never answers", async () => {
  expect(await askStore(() => new Promise(() => undefined), { timeoutMs: 20 })).toEqual(
    storeUnavailable(new Error("the store has not answered within 20 ms")),
  );
});

it.each([
  ["a refusal of the database", new SqlError("no such table", "refused")],
  ["what is no error of a database", new TypeError("no function")],
  ["undefined", undefined],
])("does not take %s for an outage", async (_what, thrown) => {
  let tries = 0;
  const ask = async () => {
    tries += 1;
    throw thrown;
  };
  const asking = askStore(ask, { timeoutMs: 10_000 });
  await expect(asking).rejects.toBe(thrown);
  expect(tries).toBe(1);
});
