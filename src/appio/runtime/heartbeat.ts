import { Code, ConnectError } from "@connectrpc/connect";
import { type Sleep, sleep as sleepByTimer } from "./sleep.ts";

/** What {@link startHeartbeat} needs. */
export interface HeartbeatOptions {
  /**
   * Sends one heartbeat and returns the response's `success`. The signal is
   * aborted when the heartbeat is stopped.
   */
  readonly beat: (signal: AbortSignal) => Promise<boolean>;
  /**
   * Called once, when the server does not know the sender any more: it
   * answered `success = false`, or refused the credential. The loop has ended
   * then; what depends on it has to stop.
   */
  readonly onLost: (reason: string) => void;
  /** Told of every failed heartbeat that will be tried again. Default: nobody. */
  readonly onFailure?: (error: ConnectError, retryAfterMs: number) => void;
  /** How the loop waits. Default: the host's timer. */
  readonly sleep?: Sleep;
  /** Where jitter comes from: at least 0, below 1. Default: `Math.random`. */
  readonly random?: () => number;
}

/** A heartbeat that is being sent. */
export interface Heartbeat {
  /** Ends the loop, an attempt under way included; resolves when it has ended. Never rejects. */
  stop(): Promise<void>;
}

/** How long a server waits for a heartbeat, in seconds (Flower: `HEARTBEAT_DEFAULT_INTERVAL`). */
export const heartbeatIntervalSeconds = 30;
/** How long one heartbeat call may take, in seconds (Flower: `HEARTBEAT_CALL_TIMEOUT`). */
export const heartbeatCallTimeoutSeconds = 5;
const intervalFactor = 0.8;
const intervalSpread = 0.1;
const longestRetryMs = 20_000;

/**
 * Sends heartbeats until it is stopped or the server has lost the sender: the
 * first one at once, the next 17.5 to 22.5 s after a success (contract 8.2).
 * A failed one is tried again after up to 1, 2, 4 ... 20 s, chosen at random,
 * for as long as it takes. Only a refused credential is not tried again: no
 * retry can mend it.
 */
export function startHeartbeat(options: HeartbeatOptions): Heartbeat {
  const stopping = new AbortController();
  const ended = runLoop(options, stopping.signal);
  return {
    stop() {
      stopping.abort();
      return ended;
    },
  };
}

async function runLoop(options: HeartbeatOptions, stopped: AbortSignal): Promise<void> {
  const { beat, onLost, onFailure, sleep = sleepByTimer, random = Math.random } = options;
  let failures = 0;
  while (!stopped.aborted) {
    let delayMs: number;
    try {
      if (!(await beat(stopped))) {
        return stopped.aborted ? undefined : onLost("the server does not know the token");
      }
      failures = 0;
      delayMs = delayAfterSuccessMs(random);
    } catch (cause) {
      const error = ConnectError.from(cause);
      if (stopped.aborted) {
        return;
      }
      if (error.code === Code.Unauthenticated || error.code === Code.PermissionDenied) {
        return onLost("the server refused the token");
      }
      delayMs = delayAfterFailureMs(failures, random);
      failures += 1;
      onFailure?.(error, delayMs);
    }
    await sleep(delayMs, stopped);
  }
}

function delayAfterSuccessMs(random: () => number): number {
  const spread = (2 * random() - 1) * intervalSpread;
  const seconds = heartbeatIntervalSeconds - heartbeatCallTimeoutSeconds;
  return seconds * (intervalFactor + spread) * 1000;
}

function delayAfterFailureMs(failures: number, random: () => number): number {
  return Math.min(1000 * 2 ** failures, longestRetryMs) * random();
}
