import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, test } from "vitest";
import {
  createRetry,
  type RetryEvent,
  type RetryOptions,
  RunNotRunningError,
} from "../../../src/appio/runtime/retry.ts";
import { virtualTime } from "./virtual-time.ts";

const unavailable = new ConnectError("connection refused", Code.Unavailable);

/** A retry on a clock of its own, whose jitter is the longest. */
function onOwnClock(options: RetryOptions = {}) {
  const time = virtualTime();
  const { now, sleep } = time;
  return { time, retry: createRetry({ now, sleep, random: () => 1, ...options }) };
}

/** A call that fails a number of times, and notes when it is tried. */
function failing(times: number, now: () => number, error: unknown = unavailable) {
  const triedAt: number[] = [];
  const attempt = async () => {
    triedAt.push(now());
    if (triedAt.length <= times) {
      throw error;
    }
    return "done";
  };
  return { attempt, triedAt };
}

/** Contract 8.1. */
describe("a call", () => {
  test("that succeeds is made once", async () => {
    const { time, retry } = onOwnClock();
    const { attempt, triedAt } = failing(0, time.now);
    expect(await time.until(retry.call(attempt))).toBe("done");
    expect(triedAt).toEqual([0]);
  });

  test("is tried again while the server is unavailable, after 1, 2, 4, 8, 16, 20, 20 ... s", async () => {
    const { time, retry } = onOwnClock();
    const { attempt } = failing(8, time.now);
    expect(await time.until(retry.call(attempt))).toBe("done");
    expect(time.waits).toEqual([1000, 2000, 4000, 8000, 16_000, 20_000, 20_000, 20_000]);
  });

  test("waits a random part of that (full jitter)", async () => {
    const parts = [0.5, 0, 0.25];
    const { time, retry } = onOwnClock({ random: () => parts.shift() ?? 1 });
    const { attempt, triedAt } = failing(3, time.now);
    await time.until(retry.call(attempt));
    expect(triedAt).toEqual([0, 500, 500, 1500]);
  });

  test("tells of every wait", async () => {
    const events: RetryEvent[] = [];
    const { time, retry } = onOwnClock({ onRetry: (event) => events.push(event) });
    await time.until(retry.call(failing(2, time.now).attempt));
    expect(events).toEqual([
      { error: unavailable, tries: 1, waitMs: 1000 },
      { error: unavailable, tries: 2, waitMs: 2000 },
    ]);
  });

  test.each([
    Code.Unauthenticated,
    Code.FailedPrecondition,
    Code.Unknown,
    Code.ResourceExhausted,
    Code.DeadlineExceeded,
    Code.Internal,
    Code.Canceled,
  ])("is not tried again after code %i", async (code) => {
    const { time, retry } = onOwnClock();
    const error = new ConnectError("no", code);
    await expect(time.until(retry.call(failing(1, time.now, error).attempt))).rejects.toBe(error);
    expect(time.waits).toEqual([]);
  });

  test.each(["Ssl handshake failed: x", "HANDSHAKE FAILED"])(
    "is not tried again when TLS failed: %s",
    async (text) => {
      const { time, retry } = onOwnClock();
      const error = new ConnectError(text, Code.Unavailable);
      await expect(time.until(retry.call(failing(1, time.now, error).attempt))).rejects.toBe(error);
      expect(time.waits).toEqual([]);
    },
  );

  test("is not tried again after an error of another kind", async () => {
    const { time, retry } = onOwnClock();
    const error = new RangeError("a mistake");
    await expect(time.until(retry.call(failing(1, time.now, error).attempt))).rejects.toBe(error);
  });

  test("that is denied means that the run is not running", async () => {
    const { time, retry } = onOwnClock();
    const cause = new ConnectError("Run is finished. Stopped by user.", Code.PermissionDenied);
    const call = time.until(retry.call(failing(1, time.now, cause).attempt));
    await expect(call).rejects.toBeInstanceOf(RunNotRunningError);
    await expect(call).rejects.toMatchObject({
      message: "Run is finished. Stopped by user.",
      cause,
    });
    expect(time.waits).toEqual([]);
  });
});

describe("limits", () => {
  test("after maxTries tries the error is thrown", async () => {
    const { time, retry } = onOwnClock({ maxTries: 3 });
    const { attempt, triedAt } = failing(9, time.now);
    await expect(time.until(retry.call(attempt))).rejects.toBe(unavailable);
    expect(triedAt).toHaveLength(3);
  });

  test("limitTries also holds for calls under way", async () => {
    const { time, retry } = onOwnClock({
      onRetry: ({ tries }) => tries === 2 && retry.limitTries(1),
    });
    const { attempt, triedAt } = failing(9, time.now);
    await expect(time.until(retry.call(attempt))).rejects.toBe(unavailable);
    expect(triedAt).toHaveLength(3);
  });

  test("the last wait ends at maxTimeMs, and the try after it is the last", async () => {
    const { time, retry } = onOwnClock({ maxTimeMs: 5000 });
    const { attempt, triedAt } = failing(9, time.now);
    await expect(time.until(retry.call(attempt))).rejects.toBe(unavailable);
    expect(triedAt).toEqual([0, 1000, 3000, 5000]);
  });

  test.each([0, -1, 1.5, Number.NaN])("%d tries are refused", (maxTries) => {
    const text = `"maxTries" must be a positive integer, not ${maxTries}`;
    expect(() => createRetry({ maxTries })).toThrow(text);
    expect(() => createRetry().limitTries(maxTries)).toThrow(text);
  });
});

describe("concurrent calls", () => {
  test("wait one after the other while the connection is down", async () => {
    const { time, retry } = onOwnClock();
    const calls = [1, 1, 1].map((times) => failing(times, time.now));
    // The connection stays down: nothing succeeds before the last wait is over.
    const stuck = calls.map(({ attempt, triedAt }) =>
      retry.call(async () => {
        await attempt().catch(() => {});
        if (triedAt.length < 3) {
          throw unavailable;
        }
      }),
    );
    await time.until(Promise.all(stuck));
    expect(calls.map(({ triedAt }) => triedAt.slice(0, 2))).toEqual([
      [0, 1000],
      [0, 2000],
      [0, 3000],
    ]);
  });

  test("no longer queue once one succeeds, but sleep out their own waits", async () => {
    const lengths = [0.5, 1, 1];
    const { time, retry } = onOwnClock({ random: () => lengths.shift() ?? 1 });
    const calls = [1, 1, 1].map((times) => failing(times, time.now));
    await time.until(Promise.all(calls.map(({ attempt }) => retry.call(attempt))));
    expect(calls.map(({ triedAt }) => triedAt)).toEqual([
      [0, 500],
      [0, 1500],
      [0, 1500],
    ]);
  });

  test("one that is waiting in line learns when another succeeds", async () => {
    const { time, retry } = onOwnClock({ random: () => 1 });
    const calls = [1, 1, 1].map((times) => failing(times, time.now));
    const takesMs = [300, 0, 0];
    const answered = calls.map(({ attempt }, index) =>
      retry.call(async () => {
        await attempt();
        await time.sleep(takesMs[index] ?? 0);
      }),
    );
    await time.until(Promise.all(answered));
    // The second was in line from 1000 to 1300, when the first succeeded; the third came next.
    expect(calls.map(({ triedAt }) => triedAt)).toEqual([
      [0, 1000],
      [0, 2000],
      [0, 2300],
    ]);
  });

  test("one that gives up does not hold up the others", async () => {
    const { time, retry } = onOwnClock();
    const giveUp = new AbortController();
    const calls = [1, 1, 1].map((times) => failing(times, time.now));
    const [first, second, third] = calls.map(({ attempt }, index) =>
      retry.call(attempt, index === 1 ? giveUp.signal : undefined),
    );
    giveUp.abort(new Error("enough"));
    await expect(second).rejects.toThrow("enough");
    expect(await time.until(Promise.all([first, third]))).toEqual(["done", "done"]);
    expect(calls.map(({ triedAt }) => triedAt)).toEqual([[0, 1000], [0], [0, 2000]]);
  });
});

describe("an aborted signal", () => {
  test("ends the wait between two tries", async () => {
    const { time, retry } = onOwnClock();
    const controller = new AbortController();
    const { attempt, triedAt } = failing(9, () => {
      queueMicrotask(() => controller.abort(new Error("enough")));
      return time.now();
    });
    await expect(time.until(retry.call(attempt, controller.signal))).rejects.toThrow("enough");
    expect(triedAt).toEqual([0]);
  });

  test("keeps a call from being made at all", async () => {
    const { time, retry } = onOwnClock();
    const { attempt, triedAt } = failing(0, time.now);
    const call = retry.call(attempt, AbortSignal.abort(new Error("enough")));
    await expect(call).rejects.toThrow("enough");
    expect(triedAt).toEqual([]);
  });
});
