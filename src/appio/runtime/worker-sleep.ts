import type { Sleep } from "./sleep.ts";

/** The part of a Web Worker that {@link startWorkerSleep} uses. */
export interface SleepWorker {
  postMessage(message: unknown): void;
  addEventListener(type: "message", listener: (event: { readonly data: unknown }) => void): void;
  addEventListener(type: "error", listener: () => void): void;
  terminate(): void;
}

/** Options of {@link startWorkerSleep}. */
export interface WorkerSleepOptions {
  /**
   * A Worker whose script is {@link workerSleepScript}, for pages whose content
   * security policy does not allow `worker-src blob:`. Default: a Worker made
   * from a blob: URL.
   */
  readonly worker?: SleepWorker;
  /** How long the Worker may take to start, in milliseconds. Default 10,000. */
  readonly startTimeoutMs?: number;
}

/** Waits that are kept by a Worker. */
export interface WorkerSleep {
  /** For the `sleep` option of the runtimes. */
  readonly sleep: Sleep;
  /**
   * Ends the Worker. Stop what waits before that: a wait that is under way, or
   * begins later, ends by its signal only.
   */
  close(): void;
}

/**
 * What the Worker of {@link startWorkerSleep} runs: a classic script. A text and
 * no module, so that neither Node nor a bundler has to know how to find it.
 */
export const workerSleepScript = `"use strict";
const timers = new Map();
onmessage = ({ data: { id, ms } }) => {
  clearTimeout(timers.get(id));
  timers.delete(id);
  if (ms === undefined) return;
  timers.set(id, setTimeout(() => {
    timers.delete(id);
    postMessage(id);
  }, ms));
};
`;

/**
 * Starts a Worker that keeps the time for a page. Browsers let the timers of a
 * page in the background run once a minute (Chromium's intensive throttling,
 * after five minutes), which is as long as a token lives without a heartbeat;
 * those of a Worker they leave alone. A page that the browser freezes or
 * discards stands still with its Workers.
 *
 * @throws Error when there are no Workers here, or this one does not start.
 * There is no falling back to the page's timers: it would lose tokens unseen.
 */
export async function startWorkerSleep(options: WorkerSleepOptions = {}): Promise<WorkerSleep> {
  const { startTimeoutMs = 10_000 } = options;
  const worker = options.worker ?? workerFromBlob();
  const waits = new Map<number, () => void>();
  let begun = 0;
  worker.addEventListener("message", ({ data }) => {
    if (typeof data === "number") {
      waits.get(data)?.();
    }
  });

  const sleep: Sleep = (ms, signal) =>
    new Promise((resolve) => {
      if (signal?.aborted) {
        resolve();
        return;
      }
      begun += 1;
      const id = begun;
      const end = () => {
        waits.delete(id);
        signal?.removeEventListener("abort", onAbort);
        resolve();
      };
      const onAbort = () => {
        worker.postMessage({ id });
        end();
      };
      waits.set(id, end);
      signal?.addEventListener("abort", onAbort, { once: true });
      worker.postMessage({ id, ms });
    });

  let timer: ReturnType<typeof setTimeout> | undefined;
  const failure = new Promise<never>((_, reject) => {
    const fail = () => reject(new Error("The Worker that keeps the time did not start."));
    worker.addEventListener("error", fail);
    timer = setTimeout(fail, startTimeoutMs);
  });
  // Its script may have failed long after the start, when nobody waits for this.
  failure.catch(() => {});
  try {
    await Promise.race([failure, sleep(0)]);
  } catch (error) {
    worker.terminate();
    throw error;
  } finally {
    clearTimeout(timer);
  }
  return { sleep, close: () => worker.terminate() };
}

function workerFromBlob(): SleepWorker {
  if (typeof Worker === "undefined") {
    throw new Error("There are no Web Workers here to keep the time.");
  }
  const url = URL.createObjectURL(new Blob([workerSleepScript], { type: "text/javascript" }));
  const worker = new Worker(url);
  // Until it answers, the Worker may not have fetched its script yet.
  for (const settled of ["message", "error"]) {
    worker.addEventListener(settled, () => URL.revokeObjectURL(url), { once: true });
  }
  return worker;
}
