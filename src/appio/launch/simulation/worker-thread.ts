import { finished } from "node:stream/promises";
import { MessageChannel, Worker, type WorkerOptions } from "node:worker_threads";
import { textOfThrown } from "../../runtime/thrown-text.ts";
import type { WorkerAnswer, WorkerSetup, WorkerTask } from "./worker-protocol.ts";

/** How worker threads are started. */
export interface WorkerThreadOptions {
  /** URL of the module whose default export is the ClientApp. */
  readonly clientAppUrl: string;
  /** Options of Node for the threads. Default: those of this process. */
  readonly execArgv?: readonly string[];
  /** How much JavaScript heap a thread may use, in MiB; typed arrays are not part of it. Default: Node's own limit. */
  readonly maxHeapMb?: number;
}

/** A worker thread ended before it had answered. */
export class WorkerEndedError extends Error {
  override readonly name = "WorkerEndedError";
}

/** A thread that runs a ClientApp for one message at a time. */
export interface WorkerThread {
  /**
   * Has the thread answer a message. The packet's buffer goes over to it.
   *
   * @throws WorkerEndedError if the thread ends first.
   */
  answer(task: WorkerTask): Promise<WorkerAnswer>;
  /**
   * Ends the thread, whatever its JavaScript is doing; resolves when it is gone.
   * Only blocking native code, such as `execSync`, is waited for.
   */
  stop(): Promise<void>;
  /** Resolves when the thread is gone; it answers nothing any more. Never rejects. */
  readonly exited: Promise<void>;
  /** Resolves when all that the thread wrote has been passed on as well. Never rejects. */
  readonly ended: Promise<void>;
}

const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";
const workerUrl = new URL(`./worker.${extension}`, import.meta.url);

/** Starts a thread. What its ClientApp writes to stdout and stderr goes to those of this process. */
export function startWorkerThread(options: WorkerThreadOptions): WorkerThread {
  const { port1: port, port2 } = new MessageChannel();
  const workerData: WorkerSetup = { port: port2, clientAppUrl: options.clientAppUrl };
  const worker = new Worker(workerUrl, {
    ...optionsOf(options),
    workerData,
    transferList: [port2],
  });
  worker.stdout.on("data", (part) => process.stdout.write(part));
  worker.stderr.on("data", (part) => process.stderr.write(part));
  let cause: string | undefined;
  worker.on("error", (error) => {
    cause = `The ClientApp's thread failed: ${textOfThrown(error)}`;
  });
  // Not a race with a promise of the thread's end: that would keep every answer for as long as the thread lives.
  let asked: PromiseWithResolvers<WorkerAnswer> | undefined;
  let end: WorkerEndedError | undefined;
  port.on("message", (answer: WorkerAnswer) => asked?.resolve(answer));
  const exited = new Promise<void>((resolve) => {
    worker.once("exit", (code) => {
      end = new WorkerEndedError(cause ?? `The ClientApp's thread exited with code ${code}.`);
      asked?.reject(end);
      port.close();
      resolve();
    });
  });
  const drained = [finished(worker.stdout), finished(worker.stderr)];
  const ended = Promise.allSettled([exited, ...drained]).then(() => {});

  return {
    async answer(task) {
      if (end !== undefined) {
        throw end;
      }
      asked = Promise.withResolvers();
      port.postMessage(task, [task.packet.buffer]);
      try {
        return await asked.promise;
      } finally {
        asked = undefined;
      }
    },
    async stop() {
      await worker.terminate();
      await ended;
    },
    exited,
    ended,
  };
}

function optionsOf({ execArgv, maxHeapMb }: WorkerThreadOptions): WorkerOptions {
  return {
    name: "countersign-clientapp",
    stdout: true,
    stderr: true,
    ...(execArgv === undefined ? {} : { execArgv: [...execArgv] }),
    ...(maxHeapMb === undefined ? {} : { resourceLimits: { maxOldGenerationSizeMb: maxHeapMb } }),
  };
}
