import { Code, ConnectError } from "@connectrpc/connect";
import { expect, test, vi } from "vitest";
import { startHeartbeat } from "../../../src/appio/runtime/heartbeat.ts";
import { manualSleep } from "./manual-sleep.ts";

/** A heartbeat whose calls are answered in turn: by true or false, or by failing with a code. */
function heartbeatAnswered(answers: (boolean | Code)[], random = () => 0.5) {
  const { sleep, next } = manualSleep();
  const beat = vi.fn(async () => {
    const answer = answers.shift() ?? true;
    if (typeof answer === "boolean") return answer;
    throw new ConnectError("scripted", answer);
  });
  const onLost = vi.fn();
  const lost = new Promise<string>((resolve) => onLost.mockImplementation(resolve));
  const heartbeat = startHeartbeat({ beat, onLost, sleep, random });
  return { heartbeat, beat, onLost, lost, next };
}

test.each([
  [0, 17_500],
  [0.5, 20_000],
  [1, 22_500],
])(
  "with the random number %s the next heartbeat comes %s ms after a success",
  async (random, ms) => {
    const { heartbeat, beat, next } = heartbeatAnswered([], () => random);
    const wait = await next();
    expect(wait.ms).toBeCloseTo(ms, 6);
    expect(beat).toHaveBeenCalledTimes(1);
    wait.end();
    await next();
    expect(beat).toHaveBeenCalledTimes(2);
    await heartbeat.stop();
  },
);

test("failures are tried again after 1, 2, 4 ... 20 s with full jitter; a success starts over", async () => {
  const failures = [
    Code.Unavailable,
    Code.DeadlineExceeded,
    Code.Internal,
    Code.Unavailable,
    Code.Unavailable,
    Code.Unavailable,
  ];
  const answers = [...failures, true, Code.Unavailable];
  const { heartbeat, onLost, next } = heartbeatAnswered(answers);
  const waits: number[] = [];
  for (let i = 0; i < 8; i++) {
    const wait = await next();
    waits.push(wait.ms);
    wait.end();
  }
  expect(waits).toEqual([500, 1000, 2000, 4000, 8000, 10_000, 20_000, 500]);
  expect(onLost).not.toHaveBeenCalled();
  await heartbeat.stop();
});

test.each([
  [false, "the server does not know the token"],
  [Code.Unauthenticated, "the server refused the token"],
  [Code.PermissionDenied, "the server refused the token"],
])("the answer %s ends the loop and tells the app", async (answer, reason) => {
  const { heartbeat, beat, onLost, lost } = heartbeatAnswered([answer]);
  expect(await lost).toBe(reason);
  await heartbeat.stop();
  expect(onLost).toHaveBeenCalledTimes(1);
  expect(beat).toHaveBeenCalledTimes(1);
});

test("stop ends a wait at once", async () => {
  const { heartbeat, beat, next } = heartbeatAnswered([]);
  await next();
  await heartbeat.stop();
  expect(beat).toHaveBeenCalledTimes(1);
});

test("stop ends a heartbeat under way, and its failure is no loss", async () => {
  const onLost = vi.fn();
  const beat = (signal: AbortSignal) =>
    new Promise<boolean>((_, reject) => {
      signal.addEventListener("abort", () =>
        reject(new ConnectError("aborted", Code.Unauthenticated)),
      );
    });
  await startHeartbeat({ beat, onLost }).stop();
  expect(onLost).not.toHaveBeenCalled();
});
