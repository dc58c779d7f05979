/** How long an app may work: the part of an {@link AppLifetime} that the app itself is given. */
export interface AppSignal {
  /**
   * Aborted when the app has to stop: its run was stopped, its token is no
   * longer valid, or its process is told to end. Nothing the app sends after
   * that is accepted.
   */
  readonly signal: AbortSignal;
}

/**
 * Why an app had to stop before its end: its run is not running any more, the
 * server has let go of its token, or the process that runs it was told to end.
 */
export type StopCause = "run stopped" | "token lost" | "interrupted";

/** The error that ends an app before its end, and the reason of its aborted signal. */
export class AppStoppedError extends Error {
  override readonly name = "AppStoppedError";
  readonly stopCause: StopCause;

  constructor(stopCause: StopCause, message: string) {
    super(message);
    this.stopCause = stopCause;
  }
}

/** From an app's start to its end, or to the first cause that stops it. */
export interface AppLifetime extends AppSignal {
  /** Ends the lifetime. Only the first call has an effect. */
  stop(cause: StopCause, message: string): void;
  /**
   * Does a piece of work, or ends before it is done when the lifetime ends: an
   * app that does not look at its signal must not keep its process alive.
   *
   * @throws AppStoppedError when the lifetime has ended or ends first, whatever
   * the work made of it; else whatever the work throws.
   */
  during<T>(work: () => T | Promise<T>): Promise<T>;
  /** Lets go of the signal this lifetime was made from. */
  release(): void;
}

/**
 * Begins an app's lifetime.
 *
 * @param interrupt ends it with the cause "interrupted", as a process signal does.
 */
export function beginLifetime(interrupt?: AbortSignal): AppLifetime {
  const controller = new AbortController();
  const { signal } = controller;
  const stop = (cause: StopCause, message: string) =>
    controller.abort(new AppStoppedError(cause, message));
  const onInterrupt = () => stop("interrupted", "The app was interrupted.");
  if (interrupt?.aborted) {
    onInterrupt();
  }
  interrupt?.addEventListener("abort", onInterrupt, { once: true });

  async function during<T>(work: () => T | Promise<T>): Promise<T> {
    signal.throwIfAborted();
    let onAbort = () => {};
    // Listens before the work does: what the work makes of the end comes too late.
    const ended = new Promise<never>((_, reject) => {
      onAbort = () => reject(signal.reason);
      signal.addEventListener("abort", onAbort, { once: true });
    });
    try {
      return await Promise.race([ended, (async () => work())()]);
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  }

  return {
    signal,
    stop,
    during,
    release: () => interrupt?.removeEventListener("abort", onInterrupt),
  };
}
