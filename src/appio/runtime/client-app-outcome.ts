import { AppStoppedError } from "./app-lifetime.ts";

/**
 * How a ClientApp ended. `exitCode` is Flower's: a failed call ends the process
 * with 0, as the node learns of it when the token expires (contract 8.6).
 *
 * | kind | what happened | exit code |
 * | --- | --- | --- |
 * | replied | the reply was sent, be it one that says what went wrong in the app | 0 |
 * | run stopped | the server said that the run is not running | 0 |
 * | failed | a call failed, or what came was no message | 0 |
 * | interrupted | the `signal` option was aborted | 1 |
 * | token lost | the server does not accept the token any more | 1 |
 */
export type ClientAppOutcome = ClientAppEnd & { readonly exitCode: number };

/** What became of a ClientApp. */
export type ClientAppEnd =
  | {
      readonly kind: "replied";
      /** The message that was answered. */
      readonly messageId: string;
      /** Why the reply is an error; undefined when it has content. */
      readonly errorCode: number | undefined;
    }
  | { readonly kind: "run stopped" }
  | { readonly kind: "failed" | "interrupted" | "token lost"; readonly error: unknown };

const exitCodes: Readonly<Record<ClientAppEnd["kind"], number>> = {
  replied: 0,
  "run stopped": 0,
  failed: 0,
  interrupted: 1,
  "token lost": 1,
};

/** Puts the exit code to how a ClientApp ended. */
export function clientAppOutcome(end: ClientAppEnd): ClientAppOutcome {
  return { ...end, exitCode: exitCodes[end.kind] };
}

/** Tells from what was thrown how a ClientApp ended. */
export function endOfClientApp(error: unknown): ClientAppEnd {
  if (error instanceof AppStoppedError) {
    return error.stopCause === "run stopped"
      ? { kind: error.stopCause }
      : { kind: error.stopCause, error };
  }
  return { kind: "failed", error };
}
