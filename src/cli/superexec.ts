import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Argument, Command, Option } from "commander";
import type { ChildCommand, ChildHandle, ChildLine } from "../appio/launch/child.ts";
import type { AppType, PluginType } from "../appio/launch/plugin-type.ts";
import type { LaunchRequest, SuperExecEvent } from "../appio/launch/superexec.ts";
import {
  type AppRuntimeOptions,
  addAppRuntimeOptions,
  appRuntimeParameters,
} from "./app-runtime.ts";
import { exitCode } from "./exit-code.ts";
import { readPrivateKeyFile } from "./key-files.ts";
import { superExecKeyOption } from "./launcher-keys.ts";
import { untilTold } from "./lifetime.ts";
import { printableText, printJson } from "./output.ts";
import { parseCount, parseMilliseconds, parseServiceUrl } from "./parameters.ts";
import { createQuietLog } from "./quiet-log.ts";
import { selfCommand } from "./self.ts";

interface SuperExecCommandOptions extends AppRuntimeOptions {
  readonly appio?: string;
  readonly authSuperexecPrivateKey?: string;
  readonly pollIntervalMs?: number;
  readonly replyPollMs?: number;
  readonly objectPollMs?: number;
  readonly maxConcurrent?: number;
  readonly watchStdin?: boolean;
}

/** `countersign superexec`: launches apps, a process each. */
export function superExecCommand(): Command {
  const command = new Command("superexec")
    .description(
      "Launch apps: poll an AppIo service, claim each app with a token of its own, start a process for it.",
    )
    .addArgument(new Argument("<type>", "kind of app").choices(["serverapp", "clientapp"]))
    .argument(
      "[command...]",
      "after --: starts an app in place of `countersign app`; gets its arguments and stdin",
    )
    .addOption(
      new Option(
        "--appio <url>",
        "AppIo service (default: http://127.0.0.1:9091, for clientapp port 9094)",
      ).argParser(parseServiceUrl),
    )
    .addOption(
      new Option("--poll-interval-ms <ms>", "time between polls (default: 1000)").argParser(
        parseMilliseconds,
      ),
    )
    .addOption(
      new Option(
        "--reply-poll-ms <ms>",
        "how often a ServerApp asks for replies (default: 3000)",
      ).argParser(parseMilliseconds),
    )
    .addOption(
      new Option(
        "--object-poll-ms <ms>",
        "how soon a ServerApp asks again for an object that has not arrived (default: 1000)",
      ).argParser(parseMilliseconds),
    )
    .addOption(
      new Option(
        "--max-concurrent <n>",
        "apps that may run at a time (default: no limit)",
      ).argParser(parseCount),
    )
    .option(
      `${superExecKeyOption} <file>`,
      "private key to sign with, where only known SuperExecs may launch apps (PEM or OpenSSH)",
    )
    .option("--watch-stdin", "stop when stdin ends: whoever started this is gone");
  return addAppRuntimeOptions(command).action(superExec);
}

async function superExec(
  pluginType: PluginType,
  custom: readonly string[],
  options: SuperExecCommandOptions,
  command: Command,
): Promise<void> {
  appRuntimeParameters(options, command);
  if (options.appRuntime === "flower" && custom.length > 0) {
    command.error("error: a command of your own and --app-runtime flower exclude each other", {
      exitCode: exitCode.usage,
    });
  }
  const { authSuperexecPrivateKey: keyFile } = options;
  const privateKey = keyFile === undefined ? undefined : await readPrivateKeyFile(keyFile);
  const { runSuperExec } = await import("../appio/launch/superexec.ts");
  using lifetime = untilTold(options);
  const log = createQuietLog();
  const appIo = options.appio ?? `http://127.0.0.1:${pluginType === "serverapp" ? 9091 : 9094}`;
  // Apps of one SuperExec share their bundles and Node's compile cache; nothing of it outlives the SuperExec.
  const directory = await mkdtemp(join(tmpdir(), "countersign-superexec-"));
  try {
    const launch =
      options.appRuntime === "flower"
        ? await flowerLauncher(pluginType, options)
        : await ownLauncher(custom, directory, options);
    printJson({ kind: "ready", service: "superexec", type: pluginType, appIo });
    await runSuperExec({
      appIo,
      pluginType,
      signal: lifetime.signal,
      onEvent: printEvent,
      retry: { onRetry: () => log(`the service at ${appIo} cannot be reached; it is asked again`) },
      ...(privateKey === undefined ? {} : { privateKey }),
      ...(options.pollIntervalMs === undefined ? {} : { pollIntervalMs: options.pollIntervalMs }),
      ...(options.maxConcurrent === undefined ? {} : { maxConcurrent: options.maxConcurrent }),
      launch: (request) => {
        const { runId } = request;
        return launch(request, ({ text }) =>
          process.stderr.write(`[run ${runId}] ${printableText(text)}\n`),
        );
      },
    });
  } finally {
    // Tried again, as processes that an app has started may still write while they end.
    await rm(directory, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
  }
}

type Launcher = (request: LaunchRequest, onLine: (line: ChildLine) => void) => ChildHandle;

async function ownLauncher(
  custom: readonly string[],
  directory: string,
  options: SuperExecCommandOptions,
): Promise<Launcher> {
  const { spawnWithToken } = await import("../appio/launch/child.ts");
  return ({ appType, address, token }, onLine) =>
    spawnWithToken({
      token,
      command: appCommandLine(custom, appType, address, directory, options),
      onLine,
    });
}

async function flowerLauncher(
  pluginType: PluginType,
  { flowerCommands = process.env.PATH ?? "" }: SuperExecCommandOptions,
): Promise<Launcher> {
  const { findFlowerCommands, spawnFlowerApp } = await import("../appio/launch/flower-app.ts");
  const commands = await findFlowerCommands(pluginType, flowerCommands);
  return ({ appType, address, token }, onLine) =>
    spawnFlowerApp({ appType, address, token, commands, onLine });
}

function appCommandLine(
  custom: readonly string[],
  appType: AppType,
  address: string,
  directory: string,
  { replyPollMs, objectPollMs }: SuperExecCommandOptions,
): ChildCommand {
  const parameters = [appType, "--address", address];
  parameters.push("--bundle-directory", join(directory, "bundles"));
  if (replyPollMs !== undefined) parameters.push("--reply-poll-ms", String(replyPollMs));
  if (objectPollMs !== undefined) parameters.push("--object-poll-ms", String(objectPollMs));
  const env = { NODE_COMPILE_CACHE: join(directory, "compile-cache"), ...process.env };
  const [command, ...args] = custom;
  return command === undefined
    ? { ...selfCommand(["app", ...parameters]), env }
    : { command, args: [...args, ...parameters], env };
}

function printEvent(event: SuperExecEvent): void {
  printJson(
    event.kind === "exited"
      ? { ...event, exit: { ...event.exit, error: event.exit.error?.message } }
      : { ...event },
  );
}
