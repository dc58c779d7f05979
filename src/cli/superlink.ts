import { Command, Option } from "commander";
import {
  type AppRuntimeOptions,
  addAppRuntimeOptions,
  appRuntimeParameters,
} from "./app-runtime.ts";
import { databaseVariable, openDatabase } from "./database.ts";
import { CommandError } from "./exit-code.ts";
import { readPublicKeyFile } from "./key-files.ts";
import {
  addLauncherKeyOptions,
  type LauncherKeyOptions,
  readLauncherKeys,
} from "./launcher-keys.ts";
import { untilTold } from "./lifetime.ts";
import { addTlsOptions, readTlsOptions, type TlsCommandOptions } from "./listener-options.ts";
import { readOrCreateOperatorToken } from "./operator-token.ts";
import { printJson } from "./output.ts";
import { parseMilliseconds, parsePort } from "./parameters.ts";
import { createQuietLog } from "./quiet-log.ts";
import { createRefusalLog } from "./refusal-log.ts";
import { startSubprocess } from "./subprocess.ts";

interface SuperLinkCommandOptions extends AppRuntimeOptions, LauncherKeyOptions, TlsCommandOptions {
  readonly database: string;
  readonly host: string;
  readonly port: number;
  readonly fleetPort: number;
  readonly controlPort: number;
  readonly supernodeKeys?: string;
  readonly operatorTokenFile?: string;
  readonly logPollMs?: number;
  readonly superexecPollMs?: number;
  readonly replyPollMs?: number;
  readonly objectPollMs?: number;
  readonly watchStdin?: boolean;
}

/** `countersign superlink`: serves ServerAppIo, Fleet and Control. */
export function superLinkCommand(): Command {
  const command = new Command("superlink")
    .description("Serve ServerAppIo to apps, Fleet to SuperNodes and Control to the operator.")
    .addOption(
      new Option(
        "--database <place>",
        "all state: a SQLite file, :memory:, or postgres://host/name, which several SuperLinks may share",
      )
        .env(databaseVariable)
        .makeOptionMandatory(),
    )
    .option("--host <address>", "address to listen on", "127.0.0.1")
    .addOption(
      new Option("--port <port>", "port of ServerAppIo").argParser(parsePort).default(9091),
    )
    .addOption(
      new Option("--fleet-port <port>", "port of Fleet").argParser(parsePort).default(9092),
    )
    .addOption(
      new Option("--control-port <port>", "port of Control").argParser(parsePort).default(9093),
    )
    .addOption(
      new Option(
        "--isolation <mode>",
        "subprocess: start a SuperExec; process: one is started elsewhere",
      )
        .choices(["subprocess", "process"])
        .default("subprocess"),
    )
    .option(
      "--operator-token-file <path>",
      "file with the operator's token, made when absent (default: $COUNTERSIGN_OPERATOR_TOKEN or ~/.countersign/operator-token)",
    )
    .addOption(
      new Option(
        "--log-poll-ms <ms>",
        "how often a followed log is looked at (default: 500)",
      ).argParser(parseMilliseconds),
    )
    .addOption(
      new Option(
        "--superexec-poll-ms <ms>",
        "how often the SuperExec polls (default: 1000)",
      ).argParser(parseMilliseconds),
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
    .option(
      "--supernode-keys <file>",
      "public keys of the SuperNodes that may join (default: a node with any key registers itself)",
    )
    .option("--watch-stdin", "stop when stdin ends: whoever started this is gone");
  addTlsOptions(command, "certificate in PEM for Fleet and Control; ServerAppIo stays plaintext");
  return addAppRuntimeOptions(addLauncherKeyOptions(command)).action(runSuperLink);
}

async function runSuperLink(options: SuperLinkCommandOptions, command: Command): Promise<void> {
  const runtime = appRuntimeParameters(options, command);
  const { superExecAuth, parameters } = await readLauncherKeys(options, command);
  const tls = await readTlsOptions(options, command);
  const superNodeKeys =
    options.supernodeKeys === undefined
      ? undefined
      : await readSuperNodeKeys(options.supernodeKeys);
  const { startSuperLink } = await import("../appio/superlink/superlink.ts");
  using lifetime = untilTold(options);
  const operator = await readOrCreateOperatorToken({
    file: options.operatorTokenFile,
    env: process.env,
  });
  const log = createQuietLog();
  const superLink = await startSuperLink({
    database: await openDatabase({
      place: options.database,
      isArgument: command.getOptionValueSource("database") === "cli",
    }),
    operatorToken: operator.token,
    host: options.host,
    serverAppIoPort: options.port,
    fleetPort: options.fleetPort,
    controlPort: options.controlPort,
    onDecision: createRefusalLog(log),
    onDatabaseError: ({ message }) => log(message),
    ...tls,
    ...(superNodeKeys === undefined ? {} : { superNodeKeys }),
    ...(superExecAuth === undefined ? {} : { superExecAuth }),
    ...(options.logPollMs === undefined ? {} : { logPollMs: options.logPollMs }),
  });
  const { serverAppIoUrl, fleetUrl, controlUrl } = superLink;
  const superExec =
    options.isolation === "subprocess"
      ? startSubprocess([
          ...["superexec", "serverapp", "--appio", serverAppIoUrl],
          ...intervals(options),
          ...runtime,
          ...parameters,
        ])
      : undefined;
  try {
    printJson({
      kind: "ready",
      service: "superlink",
      ...{ serverAppIoUrl, fleetUrl, controlUrl },
      operatorTokenFile: operator.file,
    });
    await Promise.race([
      lifetime.ended,
      ...(superExec === undefined ? [] : [superExec.ended.then(hasGone)]),
    ]);
  } finally {
    await superExec?.stop();
    await superLink.close();
  }
}

/** @throws TypeError naming the file and the key in it that is none */
async function readSuperNodeKeys(file: string): Promise<readonly string[]> {
  const keys = await readPublicKeyFile(file);
  const { readPublicKey } = await import("../appio/credentials/public-key.ts");
  return keys.map((key, index) => readPublicKey(key, `${file}: key ${index + 1}`).pem);
}

function intervals(options: SuperLinkCommandOptions): string[] {
  const given = {
    "--poll-interval-ms": options.superexecPollMs,
    "--reply-poll-ms": options.replyPollMs,
    "--object-poll-ms": options.objectPollMs,
  };
  return Object.entries(given).flatMap(([name, value]) =>
    value === undefined ? [] : [name, String(value)],
  );
}

function hasGone(how: string): never {
  throw new CommandError(`The SuperExec has gone: ${how}.`);
}
