import { expect, it } from "vitest";
import { askingTimeMs, askStore, isOutage } from "../../src/authority/ask-store.ts";
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
  // The pauses are at least 12, 25, 50 and 100 ms.
  expect(triesInTime).toBeLessThanOrEqual(5);
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

it("asks no more when the time is over before it was answered", async () => {
  let tries = 0;
  const answer = Promise.withResolvers<never>();
  const ask = () => {
    tries += 1;
    return answer.promise;
  };
  await askStore(ask, { timeoutMs: 20 });
  answer.reject(gone);
  // Longer than the first pause.
  await new Promise((resolve) => setTimeout(resolve, 100));
  expect(tries).toBe(1);
});

it("says what it was told last, when the store then never answers", async () => {
  let tries = 0;
  const ask = async () => {
    tries += 1;
    return tries === 1 ? Promise.reject(gone) : new Promise<never>(() => undefined);
  };
  expect(await askStore(ask, { timeoutMs: 150 })).toEqual(storeUnavailable(gone));
});

it("tells an outage as it is told to", async () => {
  let tries = 0;
  const ask = async () => {
    tries += 1;
    return tries === 1 ? Promise.reject(new Error("restarting")) : "answer";
  };
  const isOutage = (error: unknown) => error instanceof Error && error.message === "restarting";
  expect(await askStore(ask, { timeoutMs: 10_000, isOutage })).toBe("answer");
  expect(tries).toBe(2);
});

it("leaves no timer behind", async () => {
  const timers = () =>
    process.getActiveResourcesInfo().filter((resource) => resource === "Timeout").length;
  const before = timers();
  const options = { timeoutMs: 60_000 };
  for (let i = 0; i < 20; i++) {
    await askStore(async () => "answer", options);
    await askStore(() => Promise.reject(new Error("refused")), options).catch(() => undefined);
  }
  expect(timers() - before).toBeLessThan(10);
});

it("is told an outage by a database that is unavailable, and by nothing else", () => {
  expect(isOutage(gone)).toBe(true);
  expect(isOutage(new SqlError("no such table", "refused"))).toBe(false);
  expect(isOutage(Object.assign(new Error("gone"), { reason: "unavailable" }))).toBe(false);
});

it("has half of the time that the guard waits", () => {
  expect(askingTimeMs(5_000)).toBe(2_500);
});
