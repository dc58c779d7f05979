import type { Command } from "commander";
import type { SuperExecAuth } from "../appio/credentials/super-exec-verifier.ts";
import { exitCode } from "./exit-code.ts";
import { readSuperExecAuthConfig } from "./superexec-auth-config.ts";

/** The option with which every command takes a SuperExec's private key: Flower's name for it. */
export const superExecKeyOption = "--auth-superexec-private-key";

/** What {@link addLauncherKeyOptions} adds to a command that has `--isolation`. */
export interface LauncherKeyOptions {
  readonly isolation: "subprocess" | "process";
  readonly superexecAuthConfig?: string;
  readonly authSuperexecPrivateKey?: string;
}

/** Adds the options that say which SuperExecs may launch apps: Flower's names. */
export function addLauncherKeyOptions(command: Command): Command {
  return command
    .option(
      "--superexec-auth-config <file>",
      "YAML or JSON with the public keys of the SuperExecs that may launch apps (default: whoever reaches the port)",
    )
    .option(
      `${superExecKeyOption} <file>`,
      "private key of the SuperExec that is started; needed with --superexec-auth-config",
    );
}

/** Who may launch apps, and what the SuperExec that is started has to be told. */
export interface LauncherKeys {
  readonly superExecAuth?: SuperExecAuth;
  /** Parameters for the command `superexec`. */
  readonly parameters: readonly string[];
}

/**
 * Reads what the options of {@link addLauncherKeyOptions} name. A key that no
 * SuperExec of this command will use is told on stderr.
 *
 * @throws CommanderError when one of them lacks another, as for a wrong command line
 * @throws CommandError when the configuration cannot be read or is wrong
 */
export async function readLauncherKeys(
  { isolation, superexecAuthConfig, authSuperexecPrivateKey: key }: LauncherKeyOptions,
  command: Command,
): Promise<LauncherKeys> {
  if (superexecAuthConfig === undefined) {
    if (key !== undefined) {
      wrongUsage(command, `${superExecKeyOption} needs --superexec-auth-config`);
    }
    return { parameters: [] };
  }
  const superExecAuth = await readSuperExecAuthConfig(superexecAuthConfig);
  if (superExecAuth === undefined) {
    if (key !== undefined) warnUnused(`${superexecAuthConfig} is not enabled`);
    return { parameters: [] };
  }
  if (isolation === "process") {
    if (key !== undefined) warnUnused("the SuperExec is started elsewhere");
    return { superExecAuth, parameters: [] };
  }
  if (key === undefined) {
    return wrongUsage(
      command,
      `--superexec-auth-config needs ${superExecKeyOption}, or --isolation process`,
    );
  }
  return { superExecAuth, parameters: [superExecKeyOption, key] };
}

function warnUnused(why: string): void {
  process.stderr.write(`countersign: ${superExecKeyOption} is not used: ${why}.\n`);
}

function wrongUsage(command: Command, message: string): never {
  return command.error(`error: ${message}`, { exitCode: exitCode.usage });
}
