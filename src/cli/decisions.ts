import { Command } from "commander";
import { askControl, type ControlOptions, withControlOptions } from "./control-client.ts";
import { formatTable, printJson, printLine } from "./output.ts";

interface DecisionsOptions extends ControlOptions {
  readonly json?: boolean;
}

/** `countersign decisions`: how many calls a SuperLink's guard allowed and refused, and why. */
export function decisionsCommand(): Command {
  const command = new Command("decisions")
    .description(
      "Print how many calls of each RPC the SuperLink has allowed and refused since it started, and why.",
    )
    .option("--json", "print JSON, a line per RPC and per reason of refusals");
  return withControlOptions(command).action(async (options: DecisionsOptions) => {
    const { counters, refusals } = await askControl(options, (control) => control.getDecisions({}));
    if (options.json) {
      for (const { service, method, allowed, refused, unavailable } of counters) {
        printJson({ kind: "count", service, method, allowed, refused, unavailable });
      }
      for (const { service, method, credential, reason, count, lastAt } of refusals) {
        printJson({ kind: "refusal", service, method, credential, reason, count, lastAt });
      }
      return;
    }
    const rows = counters.map(({ service, method, allowed, refused, unavailable }) => [
      rpcOf({ service, method }),
      allowed.toString(),
      refused.toString(),
      unavailable.toString(),
    ]);
    printLine(formatTable([["RPC", "ALLOWED", "REFUSED", "UNDECIDED"], ...rows]));
    if (refusals.length === 0) return;
    const reasons = refusals.map(({ count, lastAt, credential, reason, ...rpc }) => [
      count.toString(),
      lastAt,
      rpcOf(rpc),
      credential,
      reason,
    ]);
    const heading = ["REFUSALS", "LAST", "RPC", "CREDENTIAL", "REASON"];
    printLine(`\n${formatTable([heading, ...reasons])}`);
  });
}

function rpcOf({ service, method }: { service: string; method: string }): string {
  return service === "" ? "unknown" : `${service}/${method}`;
}
