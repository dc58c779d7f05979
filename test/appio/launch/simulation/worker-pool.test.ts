import { expect, test } from "vitest";
import { packMessage } from "../../../../src/appio/launch/simulation/message-packet.ts";
import { createWorkerPool } from "../../../../src/appio/launch/simulation/worker-pool.ts";
import type {
  WorkerAnswer,
  WorkerTask,
} from "../../../../src/appio/launch/simulation/worker-protocol.ts";
import {
  WorkerEndedError,
  type WorkerThread,
} from "../../../../src/appio/launch/simulation/worker-thread.ts";

/** A thread that does what the test says. */
interface ScriptedThread extends WorkerThread {
  readonly tasks: string[];
  reply(): void;
  /** Ends, as a thread does whose ClientApp calls process.exit. */
  exit(): void;
  isStopped(): boolean;
}

/** @param blocks Whether it cannot be stopped, as one in native code. */
function createThread(blocks = false): ScriptedThread {
  const tasks: string[] = [];
  const exit = Promise.withResolvers<void>();
  let answering = Promise.withResolvers<WorkerAnswer>();
  let isStopped = false;
  const ended = exit.promise.then(() => {});
  return {
    tasks,
    answer(task) {
      tasks.push(task.nodeName);
      answering = Promise.withResolvers<WorkerAnswer>();
      void exit.promise.then(() => answering.reject(new WorkerEndedError("ended")));
      return answering.promise;
    },
    stop() {
      isStopped = true;
      if (!blocks) exit.resolve();
      return ended;
    },
    exited: exit.promise,
    ended,
    reply: () => answering.resolve({ packet: packMessage("", []), context: new Uint8Array() }),
    exit: () => exit.resolve(),
    isStopped: () => isStopped,
  };
}

function createWorld(size: number, blocks = false) {
  const threads: ScriptedThread[] = [];
  const pool = createWorkerPool({
    size,
    startThread() {
      const thread = createThread(blocks);
      threads.push(thread);
      return thread;
    },
  });
  const answer = (nodeName: string, signal = new AbortController().signal) => {
    const task: WorkerTask = { nodeName, packet: packMessage("", []), context: new Uint8Array() };
    return pool.answer(() => task, signal);
  };
  return { pool, threads, answer };
}

const settled = () => new Promise<void>((resolve) => setImmediate(resolve));
const tasksOf = (threads: readonly ScriptedThread[]) => threads.map(({ tasks }) => tasks);

test("threads are started when they are needed, at most as many as the size", async () => {
  const { threads, answer } = createWorld(2);
  expect(threads).toHaveLength(0);
  const answers = ["a", "b", "c", "d"].map((name) => answer(name));
  await settled();
  expect(tasksOf(threads)).toEqual([["a"], ["b"]]);
  threads[1]?.reply();
  await settled();
  expect(tasksOf(threads)).toEqual([["a"], ["b", "c"]]);
  threads[0]?.reply();
  await settled();
  expect(tasksOf(threads)).toEqual([
    ["a", "d"],
    ["b", "c"],
  ]);
  for (const thread of threads) thread.reply();
  await Promise.all(answers);
});

test("a thread that is free is used again", async () => {
  const { threads, answer } = createWorld(2);
  for (const name of ["a", "b"]) {
    const answered = answer(name);
    await settled();
    threads[0]?.reply();
    await answered;
  }
  expect(tasksOf(threads)).toEqual([["a", "b"]]);
});

test("a thread that ends fails its message, and is replaced for those that wait", async () => {
  const { threads, answer } = createWorld(1);
  const [first, second] = [answer("a"), answer("b")];
  await settled();
  threads[0]?.exit();
  await expect(first).rejects.toThrow(WorkerEndedError);
  await settled();
  expect(tasksOf(threads)).toEqual([["a"], ["b"]]);
  threads[1]?.reply();
  await second;
});

test("a thread that ends while it is free gets no work", async () => {
  const { threads, answer } = createWorld(1);
  const first = answer("a");
  await settled();
  threads[0]?.reply();
  await first;
  threads[0]?.exit();
  await settled();
  void answer("b");
  await settled();
  expect(tasksOf(threads)).toEqual([["a"], ["b"]]);
});

test("a message that is given up while it waits is not worked on", async () => {
  const { threads, answer } = createWorld(1);
  const giveUp = new AbortController();
  const first = answer("a");
  const second = answer("b", giveUp.signal);
  const third = answer("c");
  await settled();
  giveUp.abort(new Error("given up"));
  await expect(second).rejects.toThrow("given up");
  threads[0]?.reply();
  await first;
  await settled();
  expect(tasksOf(threads)).toEqual([["a", "c"]]);
  threads[0]?.reply();
  await third;
});

test("a message that is given up while it is worked on: its thread is stopped and replaced", async () => {
  const { threads, answer } = createWorld(1);
  const giveUp = new AbortController();
  const [first, second] = [answer("a", giveUp.signal), answer("b")];
  await settled();
  giveUp.abort(new Error("given up"));
  await expect(first).rejects.toThrow("given up");
  await settled();
  expect(threads[0]?.isStopped()).toBe(true);
  expect(tasksOf(threads)).toEqual([["a"], ["b"]]);
  threads[1]?.reply();
  await second;
});

test("a thread that cannot be stopped keeps neither its message nor others waiting, but the close", async () => {
  const { pool, threads, answer } = createWorld(1, true);
  const giveUp = new AbortController();
  const [first, second] = [answer("a", giveUp.signal), answer("b")];
  await settled();
  giveUp.abort(new Error("given up"));
  await expect(first).rejects.toThrow("given up");
  await settled();
  expect(tasksOf(threads)).toEqual([["a"], ["b"]]);
  threads[1]?.reply();
  await second;
  const closed = pool.close();
  threads[1]?.exit();
  expect(await Promise.race([closed, settled().then(() => "still open")])).toBe("still open");
  threads[0]?.exit();
  await closed;
});

test("a message that is given up before is not even queued", async () => {
  const { threads, answer } = createWorld(1);
  await expect(answer("a", AbortSignal.abort(new Error("given up")))).rejects.toThrow("given up");
  expect(threads).toHaveLength(0);
});

test("a thread that cannot be started fails one message, not those after it", async () => {
  let tries = 0;
  const threads: ScriptedThread[] = [];
  const pool = createWorkerPool({
    size: 1,
    startThread() {
      tries += 1;
      if (tries === 1) throw new Error("no thread");
      const thread = createThread();
      threads.push(thread);
      return thread;
    },
  });
  const task = () => ({ nodeName: "n", packet: packMessage("", []), context: new Uint8Array() });
  const { signal } = new AbortController();
  await expect(pool.answer(task, signal)).rejects.toThrow("no thread");
  const second = pool.answer(task, signal);
  await settled();
  threads[0]?.reply();
  await second;
});

test("a task that cannot be made leaves its thread to others", async () => {
  const { pool, threads, answer } = createWorld(1);
  const { signal } = new AbortController();
  const first = pool.answer(() => {
    throw new RangeError("too large");
  }, signal);
  await expect(first).rejects.toThrow("too large");
  void answer("b");
  await settled();
  expect(tasksOf(threads)).toEqual([["b"]]);
});

test("closing stops all threads, and fails what waits and what comes later", async () => {
  const { pool, threads, answer } = createWorld(2);
  const answers = ["a", "b", "c"].map((name) => answer(name));
  const ends = Promise.allSettled(answers);
  await settled();
  await pool.close();
  expect(threads.map((thread) => thread.isStopped())).toEqual([true, true]);
  expect((await ends).map(({ status }) => status)).toEqual(["rejected", "rejected", "rejected"]);
  await expect(answer("d")).rejects.toThrow("The simulation has ended.");
  expect(threads).toHaveLength(2);
});

test.each([0, -1, 1.5, Number.NaN])("refuses a size of %d", (size) => {
  expect(() => createWorld(size)).toThrow(
    new TypeError(`"size" of a worker pool must be a positive integer, not ${size}`),
  );
});
