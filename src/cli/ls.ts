import { Argument, Command } from "commander";
import type { Run } from "../../gen/flwr/proto/run_pb.ts";
import { configFromScalars } from "../appio/runtime/config-values.ts";
import { askControl, type ControlOptions, withControlOptions } from "./control-client.ts";
import { CommandError } from "./exit-code.ts";
import { formatTable, type Printable, printJson, printLine } from "./output.ts";
import { parseRunId } from "./parameters.ts";

interface LsOptions extends ControlOptions {
  readonly json?: boolean;
}

/** `countersign ls`: lists runs, the newest first. */
export function lsCommand(): Command {
  const command = new Command("ls")
    .description("List runs, the newest first.")
    .addArgument(
      new Argument("[runs...]", "ids of the runs to list (default: all)").argParser(collectRunIds),
    )
    .option("--json", "print JSON, a line per run");
  return withControlOptions(command).action(async (runIds: bigint[], options: LsOptions) => {
    const { runs } = await askControl(options, (control) => control.listRuns({ runIds }));
    if (options.json) for (const run of runs) printJson(toPrintable(run));
    else
      printLine(
        formatTable([["RUN", "TYPE", "APP", "STATUS", "SINCE", "DETAILS"], ...runs.map(toRow)]),
      );
    const known = new Set(runs.map(({ runId }) => runId));
    const unknown = runIds.filter((runId) => !known.has(runId));
    if (unknown.length > 0) {
      throw new CommandError(unknown.map((runId) => `Run ${runId} not found.`).join(" "));
    }
  });
}

function collectRunIds(text: string, previous: readonly bigint[] = []): readonly bigint[] {
  return [...previous, parseRunId(text)];
}

function toRow(run: Run): readonly string[] {
  const { status, subStatus, details } = { status: "", subStatus: "", details: "", ...run.status };
  const since = run.finishedAt || run.runningAt || run.startingAt || run.pendingAt;
  return [
    run.runId.toString(),
    run.runType,
    run.fabId === "" ? run.fabHash.slice(0, 12) : `${run.fabId} ${run.fabVersion}`,
    subStatus === "" ? status : `${status}: ${subStatus}`,
    since,
    details,
  ];
}

function toPrintable(run: Run): Printable {
  return {
    runId: run.runId,
    runType: run.runType,
    app: run.fabId,
    version: run.fabVersion,
    bundle: run.fabHash,
    status: run.status?.status,
    subStatus: run.status?.subStatus,
    details: run.status?.details,
    pendingAt: run.pendingAt,
    startingAt: run.startingAt,
    runningAt: run.runningAt,
    finishedAt: run.finishedAt,
    federation: run.federation,
    config: configFromScalars(run.overrideConfig),
    bytesSent: run.bytesSent,
    bytesReceived: run.bytesRecv,
    clientAppSeconds: run.clientappRuntime,
  };
}
