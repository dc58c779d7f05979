/** What told a long-running command to stop. */
export type StopReason = "SIGINT" | "SIGTERM" | "stdin ended";

/** How long a command may work. */
export interface Lifetime extends Disposable {
  /** Aborted when the command is told to stop; the reason is a {@link StopReason}. */
  readonly signal: AbortSignal;
  /** Resolves when the command is told to stop. */
  readonly ended: Promise<void>;
}

/** Options of {@link untilTold}. */
export interface LifetimeOptions {
  /** Whether the end of stdin counts as well: whoever holds its other end is gone then. Default: false. */
  readonly watchStdin?: boolean | undefined;
}

/**
 * Turns the first SIGINT or SIGTERM into an abort, so that the command can finish what it holds; a second one ends
 * the process at once. Windows has no SIGTERM that could be caught; there, stdin is the way to stop a command.
 */
export function untilTold({ watchStdin = false }: LifetimeOptions = {}): Lifetime {
  const told = new AbortController();
  const ended = new Promise<void>((resolve) => {
    told.signal.addEventListener("abort", () => resolve(), { once: true });
  });
  const stop = (reason: StopReason): void => told.abort(reason);
  let signals = 0;
  const onSignal = (signal: "SIGINT" | "SIGTERM"): void => {
    signals += 1;
    if (signals > 1) process.exit(128 + (signal === "SIGTERM" ? 15 : 2));
    stop(signal);
  };
  const onEnd = (): void => stop("stdin ended");
  process.on("SIGINT", onSignal).on("SIGTERM", onSignal);
  const { stdin } = process;
  // Only a flowing stream tells its end.
  if (watchStdin) stdin.once("end", onEnd).once("close", onEnd).once("error", onEnd).resume();
  return {
    signal: told.signal,
    ended,
    [Symbol.dispose]() {
      process.off("SIGINT", onSignal).off("SIGTERM", onSignal);
      // A flowing stdin would keep the process from ending.
      if (watchStdin) stdin.off("end", onEnd).off("close", onEnd).off("error", onEnd).pause();
    },
  };
}
