import type { Command } from "commander";
import type { SuperExecAuth } from "../appio/credentials/super-exec-verifier.ts";
import { exitCode } from "./exit-code.ts";
import { readPublicKeyFile } from "./key-files.ts";

/** What {@link addLauncherKeyOptions} adds to a command that has `--isolation`. */
export interface LauncherKeyOptions {
  readonly isolation: "subprocess" | "process";
  readonly superexecKeys?: string;
  readonly superexecKey?: string;
}

/** Adds the options that say which SuperExecs may launch apps. */
export function addLauncherKeyOptions(command: Command): Command {
  return command
    .option(
      "--superexec-keys <file>",
      "public keys of the SuperExecs that may launch apps (default: whoever reaches the port)",
    )
    .option(
      "--superexec-key <file>",
      "private key of the SuperExec that is started; needed with --superexec-keys",
    );
}

/** Who may launch apps, and what the SuperExec that is started has to be told. */
export interface LauncherKeys {
  readonly superExecAuth?: SuperExecAuth;
  /** Parameters for the command `superexec`. */
  readonly parameters: readonly string[];
}

/**
 * Reads what the options of {@link addLauncherKeyOptions} name.
 *
 * @throws CommanderError when one of them lacks another, as for a wrong command line
 * @throws CommandError when the file cannot be read or holds no key
 */
export async function readLauncherKeys(
  { isolation, superexecKeys, superexecKey }: LauncherKeyOptions,
  command: Command,
): Promise<LauncherKeys> {
  if (superexecKeys === undefined) {
    if (superexecKey !== undefined) wrongUsage(command, "--superexec-key needs --superexec-keys");
    return { parameters: [] };
  }
  if (isolation === "subprocess" && superexecKey === undefined) {
    wrongUsage(command, "--superexec-keys needs --superexec-key, or --isolation process");
  }
  if (isolation === "process" && superexecKey !== undefined) {
    wrongUsage(command, "--superexec-key is for --isolation subprocess only");
  }
  const publicKeys = await readPublicKeyFile(superexecKeys);
  return {
    superExecAuth: { publicKeys: publicKeys.map((publicKey) => ({ publicKey })) },
    parameters: superexecKey === undefined ? [] : ["--key", superexecKey],
  };
}

function wrongUsage(command: Command, message: string): never {
  return command.error(`error: ${message}`, { exitCode: exitCode.usage });
}
