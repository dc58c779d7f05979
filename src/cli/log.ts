import { Argument, Command } from "commander";
import { askControl, type ControlOptions, withControlOptions } from "./control-client.ts";
import { printableText, printJson } from "./output.ts";
import { parseRunId } from "./parameters.ts";

interface LogOptions extends ControlOptions {
  readonly follow?: boolean;
  readonly json?: boolean;
}

/** `countersign log`: prints a run's log. */
export function logCommand(): Command {
  const command = new Command("log")
    .description("Print the log of a run.")
    .addArgument(new Argument("<run>", "id of the run").argParser(parseRunId))
    .option("-f, --follow", "go on until the run has finished")
    .option("--json", "print JSON, a line per piece of log");
  return withControlOptions(command).action(async (runId: bigint, options: LogOptions) => {
    const { follow = false } = options;
    // As in `countersign log RUN -f | head`: the log may go on for hours that nobody reads.
    const unread = new AbortController();
    process.stdout.once("error", () => unread.abort());
    const { signal } = unread;
    const printed = askControl(options, async (control) => {
      const pages = control.streamLogs({ runId, follow }, { signal });
      for await (const { logOutput, latestTimestamp } of pages) {
        if (options.json) printJson({ log: logOutput, timestamp: latestTimestamp });
        else process.stdout.write(printableText(logOutput));
      }
    });
    await printed.catch((error: unknown) => {
      if (!signal.aborted) throw error;
    });
  });
}
