import { readFile } from "node:fs/promises";
import { Argument, Command, Option } from "commander";
import type { BundleDescription } from "../appio/launch/bundle-description.ts";
import {
  type ConfigValues,
  fuseConfig,
  scalarsFromConfig,
} from "../appio/runtime/config-values.ts";
import { askControl, type ControlOptions, withControlOptions } from "./control-client.ts";
import { CommandError } from "./exit-code.ts";
import { printJson, printLine } from "./output.ts";
import { collectSettings, parseRunCount } from "./parameters.ts";

interface RunOptions extends ControlOptions {
  readonly count: number;
  readonly runConfig?: ConfigValues;
  readonly federationOption?: ConfigValues;
  readonly runType: string;
  readonly json?: boolean;
}

/** `countersign run`: creates pending runs of an app bundle. */
export function runCommand(): Command {
  const command = new Command("run")
    .description("Create pending runs of an app bundle; a SuperExec then starts them.")
    .addArgument(
      new Argument(
        "<bundle>",
        "app bundle: what npm pack makes of an app, or flwr build of one in Python",
      ),
    )
    .addOption(new Option("--count <n>", "how many runs").argParser(parseRunCount).default(1))
    .addOption(
      new Option(
        "--run-config <key=value>",
        "override a value of the app's configuration; may be repeated",
      ).argParser(collectSettings),
    )
    .addOption(
      new Option("--run-type <type>", "kind of run")
        .choices(["serverapp", "simulation"])
        .default("serverapp"),
    )
    .addOption(
      new Option(
        "--federation-option <key=value>",
        "option of a simulation, which needs num-supernodes=<n>; may be repeated",
      ).argParser(collectSettings),
    )
    .option("--json", "print JSON");
  return withControlOptions(command).action(async (file: string, options: RunOptions) => {
    const fab = await readBundleFile(file);
    const { name, version } = await describe(fab, options.runConfig ?? {});
    if (options.runType === "simulation") await checkSimulation(options.federationOption ?? {});
    const { runIds } = await askControl(options, (control) =>
      control.startRuns({
        fab,
        fabId: name,
        fabVersion: version,
        count: options.count,
        runType: options.runType,
        overrideConfig: scalarsFromConfig(options.runConfig ?? {}),
        federationOptions: scalarsFromConfig(options.federationOption ?? {}),
      }),
    );
    if (options.json) printJson({ runIds });
    else for (const runId of runIds) printLine(runId.toString());
  });
}

async function readBundleFile(file: string): Promise<Uint8Array> {
  try {
    return await readFile(file);
  } catch {
    throw new CommandError(`The app bundle ${file} cannot be read.`);
  }
}

/** A simulation without its options would fail only when it starts, so that is found here as well. */
async function checkSimulation(options: ConfigValues): Promise<void> {
  const { ConfigRecord } = await import("../appio/objects/config-record.ts");
  const { parseSimulationOptions } = await import("../appio/runtime/simulation-options.ts");
  parseSimulationOptions(new ConfigRecord(options));
}

/** Reads what the bundle says of itself. A misspelt key would let the run fail only when it starts, so it is found here. */
async function describe(fab: Uint8Array, overrides: ConfigValues): Promise<BundleDescription> {
  const { describeBundle } = await import("../appio/launch/bundle-description.ts");
  const description = await describeBundle(fab);
  fuseConfig(description.config, overrides);
  return description;
}
