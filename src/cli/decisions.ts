import { Command } from "commander";
import { askControl, type ControlOptions, withControlOptions } from "./control-client.ts";
import { formatTable, printJson, printLine } from "./output.ts";

interface DecisionsOptions extends ControlOptions {
  readonly json?: boolean;
}

/** `countersign decisions`: how many calls a SuperLink's guard allowed and refused. */
export function decisionsCommand(): Command {
  const command = new Command("decisions")
    .description(
      "Print how many calls of each RPC the SuperLink has allowed and refused since it started.",
    )
    .option("--json", "print JSON, a line per RPC");
  return withControlOptions(command).action(async (options: DecisionsOptions) => {
    const { counters } = await askControl(options, (control) => control.getDecisions({}));
    if (options.json) {
      for (const { service, method, allowed, refused } of counters) {
        printJson({ service, method, allowed, refused });
      }
      return;
    }
    const rows = counters.map(({ service, method, allowed, refused }) => [
      service === "" ? method : `${service}/${method}`,
      allowed.toString(),
      refused.toString(),
    ]);
    printLine(formatTable([["RPC", "ALLOWED", "REFUSED"], ...rows]));
  });
}
