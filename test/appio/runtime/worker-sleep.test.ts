import { once } from "node:events";
import { Worker as NodeWorker } from "node:worker_threads";
import { afterEach, expect, test, vi } from "vitest";
import {
  type SleepWorker,
  startWorkerSleep,
  workerSleepScript,
} from "../../../src/appio/runtime/worker-sleep.ts";

const threads: NodeWorker[] = [];
afterEach(async () => {
  await Promise.all(threads.splice(0).map((thread) => thread.terminate()));
});

/** A thread with the names that a Web Worker's script uses; `posted` are the messages sent to it. */
function threadFor(script: string) {
  const thread = new NodeWorker(
    `const { parentPort } = require("node:worker_threads");
     globalThis.postMessage = (data) => parentPort.postMessage(data);
     parentPort.on("message", (data) => globalThis.onmessage?.({ data }));
     ${script}`,
    { eval: true },
  );
  threads.push(thread);
  const posted: unknown[] = [];
  const worker: SleepWorker = {
    postMessage: (message) => {
      posted.push(message);
      thread.postMessage(message);
    },
    addEventListener: (type: string, listener: (event: { readonly data: unknown }) => void) =>
      thread.on(type, (data: unknown) => listener({ data })),
    terminate: () => void thread.terminate(),
  };
  return { worker, thread, posted };
}

test("waits end when the Worker says so, each on its own, the page's timers untouched", async () => {
  const { worker } = threadFor(workerSleepScript);
  const { sleep, close } = await startWorkerSleep({ worker });
  const pageTimer = vi.spyOn(globalThis, "setTimeout");
  const ended: string[] = [];
  const wait = async (name: string, ms: number) => {
    await sleep(ms);
    ended.push(name);
  };
  await Promise.all([wait("long", 60), wait("short", 5), wait("none", 0)]);
  expect(ended).toEqual(["none", "short", "long"]);
  expect(pageTimer).not.toHaveBeenCalled();
  pageTimer.mockRestore();
  close();
});

test("an aborted wait resolves at once and is taken back from the Worker", async () => {
  const { worker, posted } = threadFor(workerSleepScript);
  const { sleep } = await startWorkerSleep({ worker });
  const abort = new AbortController();
  const waiting = sleep(3_600_000, abort.signal);
  abort.abort();
  await waiting;
  await sleep(3_600_000, abort.signal);
  // One wait was begun and taken back; the second never reached the Worker.
  expect(posted.slice(1)).toEqual([{ id: 2, ms: 3_600_000 }, { id: 2 }]);
});

test("what has waited does not listen to its signal any more", async () => {
  const { worker, posted } = threadFor(workerSleepScript);
  const { sleep } = await startWorkerSleep({ worker });
  const abort = new AbortController();
  await sleep(1, abort.signal);
  const before = posted.length;
  abort.abort();
  expect(posted).toHaveLength(before);
});

test("closing ends the Worker; waits end by their signals from then on", async () => {
  const { worker, thread } = threadFor(workerSleepScript);
  const { sleep, close } = await startWorkerSleep({ worker });
  const abort = new AbortController();
  const before = sleep(10, abort.signal);
  const gone = once(thread, "exit");
  close();
  await gone;
  const after = sleep(0, abort.signal);
  const pending = Symbol("pending");
  expect(await Promise.race([before, after, Promise.resolve(pending)])).toBe(pending);
  abort.abort();
  await Promise.all([before, after]);
});

test("a Worker whose script fails is told at the start, not by waits that never end", async () => {
  const { worker } = threadFor("throw new Error('refused by a policy');");
  await expect(startWorkerSleep({ worker })).rejects.toThrow(
    "The Worker that keeps the time did not start.",
  );
});

test("a Worker that never answers is given up and ended", async () => {
  const { worker, thread } = threadFor("");
  const gone = once(thread, "exit");
  await expect(startWorkerSleep({ worker, startTimeoutMs: 50 })).rejects.toThrow(
    "The Worker that keeps the time did not start.",
  );
  await gone;
});

test("where there are no Web Workers it does not fall back to other timers", async () => {
  await expect(startWorkerSleep()).rejects.toThrow("There are no Web Workers here");
});
