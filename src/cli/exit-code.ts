/**
 * Exit codes of the commands. The app processes end as Flower's do: with 1 when the code of their outcome is 100 or
 * more, else with 0 (`flwr/supercore/exit/exit.py`); the code itself is in their last event.
 */
export const exitCode = {
  /** All went well, or a long-running command was told to stop. */
  success: 0,
  /** The command failed: a service refused or could not be reached, a file could not be read. */
  failure: 1,
  /** The command line was wrong; nothing was done. */
  usage: 2,
} as const;

/** A failure that the user is told in one sentence, without a stack. */
export class CommandError extends Error {
  override readonly name: string = "CommandError";
}

/** A wrong command line that is not shown again, as commander would: it may hold a secret. */
export class UsageError extends CommandError {
  override readonly name = "UsageError";
}
