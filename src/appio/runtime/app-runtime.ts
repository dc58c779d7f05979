import { type CallOptions, Code, ConnectError } from "@connectrpc/connect";
import type { LocatedTransport } from "../../client/located-transport.ts";
import type { Token } from "../../policy/token.ts";
import type { CreateSha256 } from "../objects/object-id.ts";
import type { AppLifetime } from "./app-lifetime.ts";
import { type Heartbeat, heartbeatCallTimeoutSeconds, startHeartbeat } from "./heartbeat.ts";
import type { LoadApp } from "./load-app.ts";
import { createRetry, type Retry, RunNotRunningError } from "./retry.ts";
import { type Sleep, sleep as sleepByTimer } from "./sleep.ts";

/** What every runtime of apps needs. */
export interface RuntimeOptions {
  /** The way to the AppIo service. Not closed at the end. */
  readonly transport: LocatedTransport;
  /** The token that the service gave for the run. */
  readonly token: Token;
  /** Receives the runtime's own remarks, one line each, without a line end. Default: nobody. */
  readonly onLog?: (line: string) => void;
  /**
   * Called at the start, with a function that fails the app for an error that nobody handles; returns what ends the
   * capture. A process hooks in here what would else end it at once, and its app without a word: then the server learns
   * of it when the token has expired. Default: nothing is captured.
   */
  readonly captureErrors?: (fail: (error: unknown) => void) => () => void;
  /** Interrupts the app, as a process signal does. */
  readonly signal?: AbortSignal;
  /** Makes the hashes of objects. Default: a portable one; on Node, `node:crypto` is faster. */
  readonly createSha256?: CreateSha256;
  /** How every loop waits. Default: the host's timer. */
  readonly sleep?: Sleep;
  /** Where jitter comes from: at least 0, below 1. Default: `Math.random`. */
  readonly random?: () => number;
}

/** What the runtimes of ServerApps and ClientApps need. */
export interface AppRuntimeOptions extends RuntimeOptions {
  /** Loads the app from the bundle that the service sends. */
  readonly loadApp: LoadApp;
}

/** What sends a heartbeat for the token, and tells whether the server knows the token. */
interface HeartbeatSender {
  sendAppHeartbeat(options: CallOptions): Promise<boolean>;
}

/**
 * Keeps the token alive, and ends the app's lifetime when the server does not
 * know the token any more: the run has ended, or the heartbeats came too late.
 */
export function startAppHeartbeat(
  sender: HeartbeatSender,
  lifetime: AppLifetime,
  { onLog, sleep = sleepByTimer, random = Math.random }: RuntimeOptions,
): Heartbeat {
  const timeoutMs = heartbeatCallTimeoutSeconds * 1000;
  return startHeartbeat({
    beat: (signal) => sender.sendAppHeartbeat({ signal, timeoutMs }),
    onLost: (reason) => lifetime.stop("token lost", `The app's token is lost: ${reason}.`),
    onFailure: (error, retryAfterMs) =>
      onLog?.(
        `A heartbeat failed (${error.message}); the next is in ${Math.round(retryAfterMs)} ms.`,
      ),
    sleep,
    random,
  });
}

/**
 * Makes what repeats an app's calls. When the server says that the run is not
 * running, or refuses the token, the app's lifetime ends there: an app that
 * catches the error stops all the same. A server that stops a run forgets its
 * token, so this is how most apps learn of it (Flower: retry_invoker.py).
 */
export function createAppRetry(
  lifetime: AppLifetime,
  { onLog, sleep = sleepByTimer, random = Math.random }: RuntimeOptions,
): Retry {
  const retry = createRetry({
    onRetry: ({ error, waitMs }) =>
      onLog?.(`A call failed (${error.message}); the next try is in ${Math.round(waitMs)} ms.`),
    sleep,
    random,
  });
  return {
    async call(attempt, signal) {
      try {
        return await retry.call(attempt, signal);
      } catch (error) {
        if (error instanceof RunNotRunningError) {
          lifetime.stop("run stopped", error.message);
        } else if (error instanceof ConnectError && error.code === Code.Unauthenticated) {
          lifetime.stop("token lost", "The app's token is lost: the server refused the token.");
        }
        throw error;
      }
    },
    limitTries: (maxTries) => retry.limitTries(maxTries),
  };
}
