import { type Command, Option } from "commander";
import { exitCode } from "./exit-code.ts";

/** What {@link addAppRuntimeOptions} adds to a command. */
export interface AppRuntimeOptions {
  readonly appRuntime: "countersign" | "flower";
  readonly flowerCommands?: string;
}

/** Adds the options that say whose processes run the apps. */
export function addAppRuntimeOptions(command: Command): Command {
  return command
    .addOption(
      new Option(
        "--app-runtime <whose>",
        "processes that run apps; flower: apps in Python, by flwr-serverapp, flwr-clientapp and flwr-simulation, whose tokens others on this machine can read",
      )
        .choices(["countersign", "flower"])
        .default("countersign"),
    )
    .option(
      "--flower-commands <directory>",
      "where Flower's commands are, such as .venv/bin (default: $PATH)",
    );
}

/**
 * The parameters that hand the choice on to the command `superexec`.
 *
 * @throws CommanderError for a directory without use, as for a wrong command line
 */
export function appRuntimeParameters(options: AppRuntimeOptions, command: Command): string[] {
  const { appRuntime, flowerCommands } = options;
  if (appRuntime === "countersign") {
    if (flowerCommands !== undefined) {
      command.error("error: --flower-commands needs --app-runtime flower", {
        exitCode: exitCode.usage,
      });
    }
    return [];
  }
  return [
    ...["--app-runtime", appRuntime],
    ...(flowerCommands === undefined ? [] : ["--flower-commands", flowerCommands]),
  ];
}
