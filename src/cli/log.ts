import { Argument, Command } from "commander";
import { askControl, type ControlOptions, withControlOptions } from "./control-client.ts";
import { printableText, printJson } from "./output.ts";
import { parseRunId } from "./parameters.ts";
import { createQuietLog } from "./quiet-log.ts";

interface LogOptions extends ControlOptions {
  readonly follow?: boolean;
  readonly json?: boolean;
}

/** `countersign log`: prints a run's log. */
export function logCommand(): Command {
  const command = new Command("log")
    .description("Print the log of a run.")
    .addArgument(new Argument("<run>", "id of the run").argParser(parseRunId))
    .option(
      "-f, --follow",
      "go on until the run has finished, also when the SuperLink is away for a while",
    )
    .option("--json", "print JSON, a line per piece of log");
  return withControlOptions(command).action(async (runId: bigint, options: LogOptions) => {
    const { follow = false } = options;
    // As in `countersign log RUN -f | head`: the log may go on for hours that nobody reads.
    const unread = new AbortController();
    process.stdout.once("error", () => unread.abort());
    const { signal } = unread;
    const printed = askControl(options, async (control) => {
      let afterTimestamp = 0;
      const printRest = async (isFollowing: boolean) => {
        const from = { runId, afterTimestamp, follow: isFollowing };
        for await (const { logOutput, latestTimestamp } of control.streamLogs(from, { signal })) {
          afterTimestamp = latestTimestamp;
          if (options.json) printJson({ log: logOutput, timestamp: latestTimestamp });
          else process.stdout.write(printableText(logOutput));
        }
      };
      // What is there already: a wrong URL, token or run is told at once.
      await printRest(false);
      if (follow) {
        const { createRetry } = await import("../appio/runtime/retry.ts");
        const log = createQuietLog();
        const retry = createRetry({
          onRetry: () =>
            log(`the SuperLink at ${options.superlink} cannot be reached; it is asked again`),
        });
        await retry.call(() => printRest(true), signal);
      }
    });
    await printed.catch((error: unknown) => {
      if (!signal.aborted) throw error;
    });
  });
}
