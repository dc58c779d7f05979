import { Command, Option } from "commander";
import type { ConfigValues } from "../appio/runtime/config-values.ts";
import {
  type AppRuntimeOptions,
  addAppRuntimeOptions,
  appRuntimeParameters,
} from "./app-runtime.ts";
import { CommandError } from "./exit-code.ts";
import { readPrivateKeyFile } from "./key-files.ts";
import {
  addLauncherKeyOptions,
  type LauncherKeyOptions,
  readLauncherKeys,
} from "./launcher-keys.ts";
import { untilTold } from "./lifetime.ts";
import {
  addListenerOptions,
  type ListenerCommandOptions,
  readListenerOptions,
} from "./listener-options.ts";
import { printableText, printJson } from "./output.ts";
import {
  collectSettings,
  parseBytes,
  parseCount,
  parseMilliseconds,
  parsePort,
  parseServiceUrl,
} from "./parameters.ts";
import { createQuietLog } from "./quiet-log.ts";
import { createRefusalLog } from "./refusal-log.ts";
import { startSubprocess } from "./subprocess.ts";

interface SuperNodeCommandOptions
  extends AppRuntimeOptions,
    ListenerCommandOptions,
    LauncherKeyOptions {
  readonly superlink: string;
  readonly insecure?: boolean;
  readonly authSupernodePrivateKey?: string;
  readonly port: number;
  readonly nodeConfig?: ConfigValues;
  readonly pollIntervalMs?: number;
  readonly replyPollMs?: number;
  readonly objectPollMs?: number;
  readonly maxConcurrent?: number;
  readonly maxBundleBytes?: number;
  readonly superexecPollMs?: number;
  readonly watchStdin?: boolean;
}

/** `countersign supernode`: a node that serves ClientAppIo and works for a SuperLink. */
export function superNodeCommand(): Command {
  const command = new Command("supernode")
    .description(
      "Take a SuperLink's messages and serve ClientAppIo to the ClientApps that answer them.",
    )
    .addOption(
      new Option("--superlink <url>", "the SuperLink's Fleet")
        .argParser(parseServiceUrl)
        .default("http://127.0.0.1:9092"),
    )
    .option("--host <address>", "address to listen on", "127.0.0.1")
    .addOption(
      new Option("--port <port>", "port of ClientAppIo").argParser(parsePort).default(9094),
    );
  command.option(
    "--auth-supernode-private-key <file>",
    "the node's private key, which the SuperLink knows (PEM or OpenSSH; default: a new one)",
  );
  command.option(
    "--insecure",
    "reach a SuperLink on another machine without TLS: who reads a signature on the way can act as this node for 305 s",
  );
  return addAppRuntimeOptions(addLauncherKeyOptions(addListenerOptions(command)))
    .addOption(
      new Option(
        "--node-config <key=value>",
        "configuration that ClientApps see; may be repeated",
      ).argParser(collectSettings),
    )
    .addOption(
      new Option(
        "--isolation <mode>",
        "subprocess: start a SuperExec; process: one is started elsewhere",
      )
        .choices(["subprocess", "process"])
        .default("subprocess"),
    )
    .addOption(
      new Option(
        "--poll-interval-ms <ms>",
        "pause after the SuperLink had no message (default: 3000)",
      ).argParser(parseMilliseconds),
    )
    .addOption(
      new Option(
        "--reply-poll-ms <ms>",
        "how often crashed ClientApps are looked for (default: 500)",
      ).argParser(parseMilliseconds),
    )
    .addOption(
      new Option(
        "--object-poll-ms <ms>",
        "how soon the SuperLink is asked again for an object that has not arrived (default: 1000)",
      ).argParser(parseMilliseconds),
    )
    .addOption(
      new Option("--max-concurrent <n>", "messages handled at a time (default: 1)").argParser(
        parseCount,
      ),
    )
    .addOption(
      new Option(
        "--max-bundle-bytes <n>",
        "app bundles that are kept for runs without a message here (default: 67108864)",
      ).argParser(parseBytes),
    )
    .addOption(
      new Option(
        "--superexec-poll-ms <ms>",
        "how often the SuperExec polls (default: 1000)",
      ).argParser(parseMilliseconds),
    )
    .option("--watch-stdin", "stop when stdin ends: whoever started this is gone")
    .action(runSuperNode);
}

async function runSuperNode(options: SuperNodeCommandOptions, command: Command): Promise<void> {
  const runtime = appRuntimeParameters(options, command);
  const listener = await readListenerOptions(options, command);
  const launcherKeys = await readLauncherKeys(options, command);
  const { superExecAuth } = launcherKeys;
  const { authSupernodePrivateKey: keyFile } = options;
  const privateKey = keyFile === undefined ? undefined : await readPrivateKeyFile(keyFile);
  const { startSuperNode } = await import("../appio/supernode/supernode.ts");
  using lifetime = untilTold(options);
  const { pollIntervalMs, replyPollMs, objectPollMs, superexecPollMs, nodeConfig } = options;
  const { maxConcurrent, maxBundleBytes } = options;
  const log = createQuietLog();
  const superNode = await startSuperNode({
    fleet: options.superlink,
    host: options.host,
    clientAppIoPort: options.port,
    onLog: (line) => process.stderr.write(`${printableText(line)}\n`),
    onDecision: createRefusalLog(log),
    retry: {
      // A command that waits in silence looks as if it hung.
      onRetry: () =>
        log(`the SuperLink at ${options.superlink} cannot be reached; it is asked again`),
    },
    signal: lifetime.signal,
    ...listener,
    allowPlaintext: options.insecure ?? false,
    ...(privateKey === undefined ? {} : { privateKey }),
    ...(superExecAuth === undefined ? {} : { superExecAuth }),
    ...(nodeConfig === undefined ? {} : { nodeConfig }),
    ...(pollIntervalMs === undefined ? {} : { pollIntervalMs }),
    ...(replyPollMs === undefined ? {} : { replyPollIntervalMs: replyPollMs }),
    ...(objectPollMs === undefined ? {} : { pulling: { initialBackoffMs: objectPollMs } }),
    ...(maxConcurrent === undefined ? {} : { maxConcurrentMessages: maxConcurrent }),
    ...(maxBundleBytes === undefined ? {} : { maxBundleBytes }),
  }).catch((error: unknown) => {
    // Told to stop before it was ready: nothing has failed.
    if (lifetime.signal.aborted) return undefined;
    throw error;
  });
  if (superNode === undefined) return;
  const { nodeId, clientAppIoUrl } = superNode;
  const { parameters } = launcherKeys;
  const poll = superexecPollMs === undefined ? [] : ["--poll-interval-ms", String(superexecPollMs)];
  const superExec =
    options.isolation === "subprocess"
      ? startSubprocess([
          ...["superexec", "clientapp", "--appio", clientAppIoUrl],
          ...poll,
          ...runtime,
          ...parameters,
        ])
      : undefined;
  try {
    printJson({ kind: "ready", service: "supernode", nodeId, clientAppIoUrl });
    await Promise.race([
      lifetime.ended,
      superNode.ended,
      ...(superExec === undefined ? [] : [superExec.ended.then(hasGone)]),
    ]);
  } finally {
    await superExec?.stop();
    await superNode.close();
    printJson({ kind: "decisions", counters: superNode.counters().map((count) => ({ ...count })) });
  }
}

function hasGone(how: string): never {
  throw new CommandError(`The SuperExec has gone: ${how}.`);
}
