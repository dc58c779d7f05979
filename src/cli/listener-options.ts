import { readFile } from "node:fs/promises";
import { isIPv6 } from "node:net";
import { createSecureContext } from "node:tls";
import type { Command } from "commander";
import type { BrowserOptions } from "../serve/browsers.ts";
import type { ServeTls } from "../serve/listener.ts";
import { CommandError, exitCode } from "./exit-code.ts";

/** What {@link addTlsOptions} adds to a command. */
export interface TlsCommandOptions {
  readonly tlsCert?: string;
  readonly tlsKey?: string;
}

/** What {@link addListenerOptions} adds to a command that has `--host`. */
export interface ListenerCommandOptions extends TlsCommandOptions {
  readonly host: string;
  readonly browserOrigin?: readonly string[];
  readonly browserHost?: readonly string[];
}

/** Who reaches a listener, and how: as `serve` takes it. */
export interface ListenerSettings {
  readonly tls?: ServeTls;
  readonly browsers?: BrowserOptions;
}

/**
 * Adds the options of TLS.
 *
 * @param certificate what the certificate is for, as the help tells it
 */
export function addTlsOptions(command: Command, certificate: string): Command {
  return command
    .option("--tls-cert <file>", certificate)
    .option("--tls-key <file>", "the certificate's private key in PEM");
}

/** Adds the options of a listener: TLS, and which web pages may call. */
export function addListenerOptions(command: Command): Command {
  return addTlsOptions(command, "certificate in PEM, which has to be valid for --host too")
    .option(
      "--browser-origin <origin>",
      "origin whose web pages may call, such as https://app.example.com; may be repeated",
      collect,
    )
    .option(
      "--browser-host <host>",
      "name under which pages reach this listener; may be repeated (default: --host)",
      collect,
    );
}

/**
 * Reads the certificate and its key; nothing when neither is named.
 *
 * @throws CommanderError when one of them lacks the other, as for a wrong command line
 * @throws CommandError when a file cannot be read, or the two are no certificate and its key
 */
export async function readTlsOptions(
  { tlsCert, tlsKey }: TlsCommandOptions,
  command: Command,
): Promise<Pick<ListenerSettings, "tls">> {
  if ((tlsCert === undefined) !== (tlsKey === undefined)) {
    wrongUsage(command, "--tls-cert and --tls-key need each other");
  }
  if (tlsCert === undefined || tlsKey === undefined) {
    return {};
  }
  const tls = { cert: await read(tlsCert), key: await read(tlsKey) };
  try {
    createSecureContext(tls);
  } catch (error) {
    // OpenSSL says neither which of the two it means nor anything of what is in them.
    const reason = error instanceof Error ? error.message : "";
    throw new CommandError(
      `${tlsCert} and ${tlsKey} must be a certificate and its private key, in PEM: ${reason}`,
    );
  }
  return { tls };
}

/**
 * Reads what the options of a listener name.
 *
 * @throws CommanderError when one of them lacks another, as for a wrong command line
 * @throws CommandError when a file cannot be read
 */
export async function readListenerOptions(
  options: ListenerCommandOptions,
  command: Command,
): Promise<ListenerSettings> {
  const { browserOrigin: origins, browserHost } = options;
  const tls = await readTlsOptions(options, command);
  if (origins === undefined && browserHost !== undefined) {
    wrongUsage(command, "--browser-host needs --browser-origin");
  }
  const hosts = browserHost ?? [hostOf(options.host)];
  return {
    ...tls,
    ...(origins === undefined ? {} : { browsers: { origins, hosts } }),
  };
}

function collect(value: string, previous: readonly string[] = []): string[] {
  return [...previous, value];
}

/** An address as it stands in a URL. */
function hostOf(address: string): string {
  return isIPv6(address) ? `[${address}]` : address;
}

async function read(file: string): Promise<Buffer> {
  try {
    return await readFile(file);
  } catch {
    throw new CommandError(`${file} cannot be read.`);
  }
}

function wrongUsage(command: Command, message: string): never {
  return command.error(`error: ${message}`, { exitCode: exitCode.usage });
}
