import type { WorkerAnswer, WorkerTask } from "./worker-protocol.ts";
import { WorkerEndedError, type WorkerThread } from "./worker-thread.ts";

/** Worker threads that share the messages among them. */
export interface WorkerPool {
  /**
   * Has a thread answer a message, as soon as one is free. A thread that ends
   * in the middle is replaced when it is needed.
   *
   * @param makeTask Called when there is a thread for it.
   * @param signal Gives the message up: a thread that is at work on it is
   * stopped, for there is no other way to interrupt a ClientApp.
   * @throws WorkerEndedError if the thread ended first; the signal's reason; an
   * Error once the pool is closed.
   */
  answer(makeTask: () => WorkerTask, signal: AbortSignal): Promise<WorkerAnswer>;
  /** Stops all threads, and resolves when they are gone. */
  close(): Promise<void>;
}

/** Options of {@link createWorkerPool}. */
export interface WorkerPoolOptions {
  /** How many threads there are at most; a thread is started when all others are at work. */
  readonly size: number;
  readonly startThread: () => WorkerThread;
}

/** A message that waits for a thread. */
interface Waiting {
  readonly take: (thread: WorkerThread) => void;
  readonly fail: (error: unknown) => void;
}

/**
 * Makes a pool. It starts no thread before there is work for it.
 *
 * @throws TypeError if "size" is no positive integer.
 */
export function createWorkerPool({ size, startThread }: WorkerPoolOptions): WorkerPool {
  if (!Number.isInteger(size) || size < 1) {
    throw new TypeError(`"size" of a worker pool must be a positive integer, not ${size}`);
  }
  /** Threads that have not ended; among them those that are being stopped. */
  const living = new Set<WorkerThread>();
  /** Threads that may get work; and those of them that have none. */
  const usable = new Set<WorkerThread>();
  const idle = new Set<WorkerThread>();
  const queue = new Set<Waiting>();
  let isClosed = false;

  function start(): WorkerThread {
    const thread = startThread();
    living.add(thread);
    usable.add(thread);
    void thread.exited.then(() => retire(thread));
    void thread.ended.then(() => living.delete(thread));
    return thread;
  }

  /** Gives a thread no more work, and those that wait another one. */
  function retire(thread: WorkerThread): void {
    idle.delete(thread);
    if (usable.delete(thread)) {
      serve();
    }
  }

  function release(thread: WorkerThread): void {
    if (usable.has(thread)) {
      idle.add(thread);
      serve();
    }
  }

  /** Hands out threads to messages, the oldest first. */
  function serve(): void {
    for (const waiting of queue) {
      const [free] = idle;
      if (isClosed || (free === undefined && usable.size >= size)) {
        return;
      }
      queue.delete(waiting);
      try {
        const thread = free ?? start();
        idle.delete(thread);
        waiting.take(thread);
      } catch (error) {
        waiting.fail(error);
      }
    }
  }

  async function acquire(signal: AbortSignal): Promise<WorkerThread> {
    signal.throwIfAborted();
    if (isClosed) {
      throw closedError();
    }
    const { promise, resolve, reject } = Promise.withResolvers<WorkerThread>();
    const waiting = { take: resolve, fail: reject };
    const giveUp = () => {
      queue.delete(waiting);
      reject(signal.reason);
    };
    signal.addEventListener("abort", giveUp, { once: true });
    queue.add(waiting);
    serve();
    try {
      return await promise;
    } finally {
      signal.removeEventListener("abort", giveUp);
    }
  }

  async function answer(makeTask: () => WorkerTask, signal: AbortSignal): Promise<WorkerAnswer> {
    const thread = await acquire(signal);
    const interrupted = Promise.withResolvers<never>();
    const interrupt = () => {
      retire(thread);
      void thread.stop();
      // Not when the thread is gone: one that blocks in native code may take its time.
      interrupted.reject(signal.reason);
    };
    try {
      signal.throwIfAborted();
      const task = makeTask();
      signal.addEventListener("abort", interrupt, { once: true });
      return await Promise.race([thread.answer(task), interrupted.promise]);
    } catch (error) {
      if (error instanceof WorkerEndedError) {
        retire(thread);
      }
      signal.throwIfAborted();
      throw error;
    } finally {
      signal.removeEventListener("abort", interrupt);
      release(thread);
    }
  }

  async function close(): Promise<void> {
    isClosed = true;
    for (const { fail } of queue) {
      fail(closedError());
    }
    queue.clear();
    await Promise.all(Array.from(living, (thread) => thread.stop()));
  }

  return { answer, close };
}

function closedError(): Error {
  return new Error("The simulation has ended.");
}
