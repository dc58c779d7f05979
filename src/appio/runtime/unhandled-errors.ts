import { linesOfThrown } from "./thrown-text.ts";

/** What {@link watchUnhandled} needs; see `RuntimeOptions`. */
export interface UnhandledErrorsOptions {
  readonly captureErrors?: (fail: (error: unknown) => void) => () => void;
  readonly onLog?: (line: string) => void;
}

/** Errors of an app that it does not handle, such as the rejection of a promise that it does not await. */
export interface UnhandledErrors {
  /**
   * Does a piece of the app's work, and gives it up for the first error that the app has not handled.
   *
   * @throws that error; whatever the work throws.
   */
  during<T>(work: () => T | Promise<T>): Promise<T>;
  /** Ends the capture. */
  release(): void;
}

/**
 * Begins to watch for errors that an app does not handle. They fail its work; those that come when none is under way, or
 * after the first, are logged.
 */
export function watchUnhandled({ captureErrors, onLog }: UnhandledErrorsOptions): UnhandledErrors {
  let giveUp: (error: unknown) => void = () => {};
  const failed = new Promise<never>((_, reject) => {
    giveUp = reject;
  });
  failed.catch(() => {});
  let isWorking = false;
  const release = captureErrors?.((error) => {
    if (isWorking) {
      giveUp(error);
    } else {
      for (const line of linesOfThrown("The app did not handle an error", error)) {
        onLog?.(line);
      }
    }
    isWorking = false;
  });
  return {
    async during(work) {
      isWorking = true;
      try {
        return await Promise.race([failed, (async () => work())()]);
      } finally {
        isWorking = false;
      }
    },
    release: () => release?.(),
  };
}
