import { Argument, Command, Option } from "commander";
import type { AppType } from "../appio/launch/plugin-type.ts";
import { exitCode } from "./exit-code.ts";
import { untilTold } from "./lifetime.ts";
import { printJson } from "./output.ts";
import { parseMilliseconds, parseServiceUrl } from "./parameters.ts";

/** How long an app may go on once it was told to stop: Flower's forced exit, in milliseconds. */
const forcedExitMs = 5_000;

interface AppOptions {
  readonly address: string;
  readonly bundleDirectory?: string;
  readonly replyPollMs?: number;
  readonly objectPollMs?: number;
}

/** `countersign app`: what a SuperExec starts. Not for people, so not in the help. */
export function appCommand(): Command {
  return new Command("app")
    .description("Run one app for the token that comes through stdin (started by superexec).")
    .addArgument(
      new Argument("<type>", "kind of app").choices(["serverapp", "clientapp", "simulation"]),
    )
    .addOption(
      new Option("--address <url>", "AppIo service that gave the token")
        .argParser(parseServiceUrl)
        .makeOptionMandatory(),
    )
    .option("--bundle-directory <path>", "where app bundles are installed (default: temporary)")
    .addOption(
      new Option("--reply-poll-ms <ms>", "how often a ServerApp asks for replies").argParser(
        parseMilliseconds,
      ),
    )
    .addOption(
      new Option("--object-poll-ms <ms>", "how soon it asks again for an object").argParser(
        parseMilliseconds,
      ),
    )
    .action(async (appType: AppType, options: AppOptions) => {
      const { runAppProcess } = await import("../appio/launch/app-process.ts");
      using lifetime = untilTold();
      // An app that ignores its signal must not outlive its launcher.
      const force = (): void => {
        setTimeout(() => process.exit(exitCode.failure), forcedExitMs).unref();
      };
      lifetime.signal.addEventListener("abort", force, { once: true });
      process.stdin.once("end", force).once("close", force);
      const outcome = await runAppProcess({
        appType,
        ...options,
        stdin: process.stdin,
        signal: lifetime.signal,
        onLog: (line) => process.stderr.write(`${line}\n`),
      });
      printJson({
        kind: "ended",
        app: appType,
        outcome: outcome.kind,
        code: outcome.exitCode,
      });
      // Timers and sockets that the app left open must not keep its process.
      await flushed();
      process.exit(outcome.exitCode >= 100 ? exitCode.failure : exitCode.success);
    });
}

function flushed(): Promise<void> {
  return new Promise((resolve) => {
    process.stdout.write("", () => process.stderr.write("", () => resolve()));
  });
}
