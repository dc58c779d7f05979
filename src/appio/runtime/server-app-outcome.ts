import { create } from "@bufbuild/protobuf";
import { type RunStatus, RunStatusSchema } from "../../../gen/flwr/proto/run_pb.ts";
import { AppStoppedError } from "./app-lifetime.ts";
import { textOfThrown } from "./thrown-text.ts";

/**
 * How a ServerApp ended. `exitCode` is Flower's (contract 8.4 and 10); a
 * process ends with 1 for codes of 100 and more, else with 0.
 *
 * | kind | what happened | exit code |
 * | --- | --- | --- |
 * | completed | the main function returned and its context was stored | 0 |
 * | run stopped | the server said that the run is not running | 0 |
 * | start rejected | the server did not let the run start | 203 |
 * | failed | the app could not be loaded or threw, or a call failed | 201 |
 * | interrupted | the `signal` option was aborted | 1 |
 * | token lost | the server does not accept the token any more | 1 |
 */
export type ServerAppOutcome = ServerAppEnd & {
  readonly exitCode: number;
  /** The run; undefined when the server has not told it. */
  readonly runId: bigint | undefined;
  /** The final status that the server has taken; undefined when none was sent or it was not taken. */
  readonly finalStatus: RunStatus | undefined;
};

/** What became of a ServerApp, before its final status is sent. */
export type ServerAppEnd =
  | { readonly kind: "completed" | "run stopped" }
  | {
      readonly kind: "start rejected" | "failed" | "interrupted" | "token lost";
      /** Why. */
      readonly error: unknown;
    };

/** Flower's exit codes by how a ServerApp ended. */
export const serverAppExitCodes: Readonly<Record<ServerAppEnd["kind"], number>> = {
  completed: 0,
  "run stopped": 0,
  "start rejected": 203,
  failed: 201,
  interrupted: 1,
  "token lost": 1,
};

/** Tells from what was thrown how a ServerApp ended. */
export function endOfServerApp(error: unknown): ServerAppEnd {
  if (error instanceof AppStoppedError) {
    return error.stopCause === "run stopped"
      ? { kind: error.stopCause }
      : { kind: error.stopCause, error };
  }
  return { kind: "failed", error };
}

/**
 * The final status of a run whose ServerApp ended that way, or nothing where
 * the server knows better: it has ended the run itself, has never started it,
 * or does not accept the token any more.
 *
 * A failure is reported whatever was thrown, and an interrupted app reports as
 * well (Flower leaves both to the token's expiry, so that the run ends a
 * minute late and without a reason).
 */
export function finalStatusOf(end: ServerAppEnd): RunStatus | undefined {
  switch (end.kind) {
    case "completed":
      return create(RunStatusSchema, { status: "finished", subStatus: "completed" });
    case "failed":
    case "interrupted":
      return create(RunStatusSchema, {
        status: "finished",
        subStatus: "failed",
        details: textOfThrown(end.error),
      });
    case "run stopped":
    case "start rejected":
    case "token lost":
      return undefined;
  }
}
