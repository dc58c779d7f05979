import { Argument, Command } from "commander";
import { askControl, type ControlOptions, withControlOptions } from "./control-client.ts";
import { printJson, printLine } from "./output.ts";
import { parseRunId } from "./parameters.ts";

interface StopOptions extends ControlOptions {
  readonly json?: boolean;
}

/** `countersign stop`: stops a run and revokes its token. */
export function stopCommand(): Command {
  const command = new Command("stop")
    .description("Stop a run and revoke its token.")
    .addArgument(new Argument("<run>", "id of the run").argParser(parseRunId))
    .option("--json", "print JSON");
  return withControlOptions(command).action(async (runId: bigint, options: StopOptions) => {
    const { stopped } = await askControl(options, (control) => control.stopRun({ runId }));
    if (options.json) printJson({ runId, stopped });
    else printLine(stopped ? `Stopped run ${runId}.` : `Run ${runId} had finished already.`);
  });
}
