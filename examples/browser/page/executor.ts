import { createOpenClient, type LocatedTransport, parseToken } from "countersign";
import {
  type ClientApp,
  type ClientAppOutcome,
  clientAppIoPolicy,
  runClientApp,
  type Sleep,
} from "countersign/appio";

/** What happens while a page answers messages. */
export type ExecutorEvent =
  | { readonly kind: "looked"; readonly pendingRuns: number }
  | { readonly kind: "failed"; readonly error: unknown }
  | { readonly kind: "claimed"; readonly runId: bigint }
  | { readonly kind: "ended"; readonly runId: bigint; readonly outcome: ClientAppOutcome };

/** What {@link answerMessages} needs. */
export interface ExecutorOptions {
  /** The way to a SuperNode's ClientAppIo. */
  readonly transport: LocatedTransport;
  /** Answers the messages, whatever app the run's bundle holds. */
  readonly app: ClientApp;
  /** How all waits are made, those between heartbeats included. */
  readonly sleep: Sleep;
  /** Ends the loop; a message under way is not answered then. */
  readonly signal: AbortSignal;
  readonly onEvent: (event: ExecutorEvent) => void;
  /** Receives the runtime's remarks. */
  readonly onLog: (line: string) => void;
}

const pollIntervalMs = 1_000;

/**
 * Does in a page what a SuperExec and its ClientApp processes do on a machine: looks for a message that waits, claims
 * it with a token of its own, answers it, and looks again. The token stays in this function's memory.
 *
 * Resolves when `signal` is aborted. Never rejects: what fails is told and tried again.
 */
export async function answerMessages(options: ExecutorOptions): Promise<void> {
  const { transport, app, sleep, signal, onEvent, onLog } = options;
  const bootstrap = createOpenClient(clientAppIoPolicy, transport);
  while (!signal.aborted) {
    let hasReplied = false;
    try {
      const { runIds } = await bootstrap.listAppsToLaunch({}, { signal });
      onEvent({ kind: "looked", pendingRuns: runIds.length });
      for (const runId of runIds) {
        const { token } = await bootstrap.requestToken({ runId }, { signal });
        // Somebody else was faster.
        if (token === "") continue;
        onEvent({ kind: "claimed", runId });
        const loadApp = () => ({ app });
        const outcome = await runClientApp({
          ...{ transport, token: parseToken(token), loadApp, sleep, signal, onLog },
        });
        onEvent({ kind: "ended", runId, outcome });
        hasReplied ||= outcome.kind === "replied";
      }
    } catch (error) {
      if (!signal.aborted) onEvent({ kind: "failed", error });
    }
    // After a reply, the run's next message may come soon.
    await sleep(hasReplied ? 0 : pollIntervalMs, signal);
  }
}
