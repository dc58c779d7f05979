import { expect, test } from "vitest";
import { AppStoppedError, beginLifetime } from "../../../src/appio/runtime/app-lifetime.ts";

const forever = () => new Promise<never>(() => {});

test("work done before the end gives its result, or what it throws", async () => {
  const lifetime = beginLifetime();
  expect(await lifetime.during(() => 7)).toBe(7);
  await expect(lifetime.during(() => Promise.reject(new Error("boom")))).rejects.toThrow("boom");
});

test("the first cause ends work that does not look at its signal", async () => {
  const lifetime = beginLifetime();
  const work = lifetime.during(forever);
  lifetime.stop("token lost", "first");
  lifetime.stop("run stopped", "second");
  await expect(work).rejects.toEqual(new AppStoppedError("token lost", "first"));
  await expect(work).rejects.toMatchObject({ stopCause: "token lost" });
});

test.each([
  ["fails for a reason of its own", () => Promise.reject(new Error("swallowed"))],
  ["goes on as if nothing had happened", () => Promise.resolve(7)],
])("work that ends the lifetime and %s is stopped all the same", async (_, then) => {
  const lifetime = beginLifetime();
  const work = lifetime.during(() => {
    lifetime.stop("run stopped", "the run is not running");
    return then();
  });
  await expect(work).rejects.toMatchObject({ stopCause: "run stopped" });
});

test("no work begins after the end", async () => {
  const lifetime = beginLifetime(AbortSignal.abort());
  let hasBegun = false;
  const work = lifetime.during(() => {
    hasBegun = true;
  });
  await expect(work).rejects.toMatchObject({ stopCause: "interrupted" });
  expect(hasBegun).toBe(false);
});

test("an interrupt aborts the app's signal, until the lifetime is released", () => {
  const interrupt = new AbortController();
  const interrupted = beginLifetime(interrupt.signal);
  const released = beginLifetime(interrupt.signal);
  released.release();
  interrupt.abort();
  expect(interrupted.signal.reason).toMatchObject({ stopCause: "interrupted" });
  expect(released.signal.aborted).toBe(false);
});
