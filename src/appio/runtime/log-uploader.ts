import { Code, ConnectError } from "@connectrpc/connect";
import { type Sleep, sleep as sleepByTimer } from "./sleep.ts";

/** What {@link startLogUploader} needs. */
export interface LogUploaderOptions {
  /** Sends lines, in order. */
  readonly push: (lines: string[]) => Promise<void>;
  /** Told when the upload ends because a push failed for good. Default: nobody. */
  readonly onEnd?: (error: ConnectError) => void;
  /** How the loop waits. Default: the host's timer. */
  readonly sleep?: Sleep;
  /** The pause between uploads, in milliseconds. Default 200 (Flower: `LOG_UPLOAD_INTERVAL`). */
  readonly intervalMs?: number;
}

/** Log lines on their way to the server. */
export interface LogUploader {
  /** Queues text, in lines or parts of lines: the server joins what it gets with nothing between. */
  add(text: string): void;
  /** Ends the loop and sends what is queued, in one last attempt. Never rejects. */
  stop(): Promise<void>;
}

/** Characters of one push: logs must not make a request that a server refuses for its size. */
const maxPushLength = 256 * 1024;
/** Characters kept while the server is not to be reached. What is older is dropped. */
const maxQueueLength = 4 * 1024 * 1024;

/**
 * Uploads log lines in the background (contract 8.4, step 2). While the server
 * is unavailable or does not answer they are kept for the next attempt; any other failure ends
 * the upload, and lines added after that are dropped: logs never fail an app.
 */
export function startLogUploader(options: LogUploaderOptions): LogUploader {
  const { push, onEnd, sleep = sleepByTimer, intervalMs = 200 } = options;
  const stopping = new AbortController();
  let queue: string[] = [];
  let queueLength = 0;
  let hasEnded = false;

  function add(text: string): void {
    if (hasEnded || text === "") {
      return;
    }
    queue.push(...cut(text));
    queueLength += text.length;
    while (queueLength > maxQueueLength) {
      queueLength -= queue.shift()?.length ?? queueLength;
    }
  }

  async function flush(): Promise<void> {
    while (queue.length > 0 && !hasEnded) {
      const lines = takeLines();
      try {
        await push(lines);
      } catch (cause) {
        const error = ConnectError.from(cause);
        if (error.code === Code.Unavailable || error.code === Code.DeadlineExceeded) {
          queue = [...lines, ...queue];
          queueLength += lengthOf(lines);
          return;
        }
        hasEnded = true;
        queue = [];
        onEnd?.(error);
      }
    }
  }

  function takeLines(): string[] {
    let count = 0;
    let length = 0;
    for (const line of queue) {
      if (count > 0 && length + line.length > maxPushLength) {
        break;
      }
      length += line.length;
      count += 1;
    }
    queueLength -= length;
    return queue.splice(0, count);
  }

  async function runLoop(): Promise<void> {
    while (!stopping.signal.aborted && !hasEnded) {
      await flush();
      await sleep(intervalMs, stopping.signal);
    }
    await flush();
    hasEnded = true;
    queue = [];
  }

  const ended = runLoop();
  return {
    add,
    stop() {
      stopping.abort();
      return ended;
    },
  };
}

function lengthOf(lines: readonly string[]): number {
  return lines.reduce((length, line) => length + line.length, 0);
}

/** Cuts text into pieces that fit into one push, without parting a surrogate pair. */
function cut(text: string): string[] {
  const pieces: string[] = [];
  let from = 0;
  while (from < text.length) {
    let to = from + maxPushLength;
    if (to < text.length && /[\uD800-\uDBFF]/.test(text.charAt(to - 1))) {
      to -= 1;
    }
    pieces.push(text.slice(from, to));
    from = to;
  }
  return pieces;
}
