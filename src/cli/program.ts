import { Command, CommanderError } from "commander";
import { appCommand } from "./app.ts";
import { attackCommand } from "./attack.ts";
import { decisionsCommand } from "./decisions.ts";
import { exitCode, UsageError } from "./exit-code.ts";
import { logCommand } from "./log.ts";
import { lsCommand } from "./ls.ts";
import { printableText } from "./output.ts";
import { policyCommand } from "./policy.ts";
import { runCommand } from "./run.ts";
import { stopCommand } from "./stop.ts";
import { superExecCommand } from "./superexec.ts";
import { superLinkCommand } from "./superlink.ts";
import { superNodeCommand } from "./supernode.ts";
import { packageVersion } from "./version.ts";

const exitCodesHelp = `
Exit codes: ${exitCode.success} success, ${exitCode.failure} failure, ${exitCode.usage} wrong command line.`;

/**
 * Runs the `countersign` command line.
 *
 * @param parameters the arguments after the program's name
 * @returns the exit code; failures are told on stderr in one sentence and never thrown
 */
export async function runCommandLine(parameters: readonly string[]): Promise<number> {
  const program = createProgram();
  // Whoever read the output may be gone, and a command that holds something still has to put it away.
  for (const stream of [process.stdout, process.stderr]) stream.on("error", ignoreBrokenPipe);
  try {
    await program.parseAsync([...parameters], { from: "user" });
    // A command sets its own code where it has more to say than success or failure.
    return Number(process.exitCode ?? exitCode.success);
  } catch (error) {
    if (error instanceof CommanderError) {
      return error.exitCode === 0 ? exitCode.success : exitCode.usage;
    }
    process.stderr.write(`countersign: ${printableText(describe(error))}\n`);
    return error instanceof UsageError ? exitCode.usage : exitCode.failure;
  }
}

/** Builds the commands; each imports what it needs when it runs, so that all of them start fast. */
export function createProgram(): Command {
  const program = new Command("countersign")
    .description("Federated runs whose every RPC is guarded by a policy.")
    .version(packageVersion())
    .addHelpText("after", exitCodesHelp)
    .showHelpAfterError("(try --help)")
    .exitOverride();
  const commands = [
    superLinkCommand(),
    superNodeCommand(),
    superExecCommand(),
    runCommand(),
    lsCommand(),
    logCommand(),
    stopCommand(),
    decisionsCommand(),
    policyCommand(),
    attackCommand(),
  ];
  for (const command of commands) program.addCommand(inheriting(command, program));
  program.addCommand(inheriting(appCommand(), program), { hidden: true });
  return program;
}

function ignoreBrokenPipe(error: Error): void {
  if (!("code" in error && error.code === "EPIPE")) throw error;
}

function inheriting(command: Command, program: Command): Command {
  return command.copyInheritedSettings(program);
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (!("syscall" in error && error.syscall === "listen" && "address" in error)) {
    return error.message;
  }
  const place = "port" in error ? `port ${error.port} of ${error.address}` : error.address;
  const isTaken = "code" in error && error.code === "EADDRINUSE";
  return `It was not possible to listen on ${place}${isTaken ? ", which is taken" : ""}: ${error.message}`;
}
