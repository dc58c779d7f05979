import type { Worker } from "node:worker_threads";

/** Watches the worker threads that this process starts from now on. */
export function watchThreads() {
  const living = new Set<Worker>();
  let started = 0;
  const watch = (worker: Worker) => {
    started += 1;
    living.add(worker);
    worker.once("exit", () => living.delete(worker));
  };
  process.on("worker", watch);
  return {
    started: () => started,
    living: () => living.size,
    [Symbol.dispose]: () => void process.off("worker", watch),
  };
}

/** URL of a module in `fixtures/`. */
export function fixture(name: string): string {
  return new URL(`./fixtures/${name}.ts`, import.meta.url).href;
}
