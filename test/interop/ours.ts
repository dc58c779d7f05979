import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { onTestFailed } from "vitest";
import type { RunStatus } from "../../gen/flwr/proto/run_pb.ts";
import { type ChildHandle, type ChildLine, spawnWithToken } from "../../src/appio/launch/child.ts";
import { findFlowerCommands, spawnFlowerApp } from "../../src/appio/launch/flower-app.ts";
import type { PluginType } from "../../src/appio/launch/plugin-type.ts";
import { type LaunchRequest, runSuperExec } from "../../src/appio/launch/superexec.ts";
import {
  type SuperLink,
  type SuperLinkOptions,
  startSuperLink,
} from "../../src/appio/superlink/superlink.ts";
import { type SuperNodeOptions, startSuperNode } from "../../src/appio/supernode/supernode.ts";
import { parseToken } from "../../src/policy/token.ts";
import { run as runCommand } from "../cli/command-line.ts";
import type { Flower } from "./flower.ts";
import { Lines } from "./lines.ts";

/** The operator's token of every SuperLink here. */
export const operatorToken = parseToken("the-operator-of-the-interop-tests");

const appProcess = fileURLToPath(new URL("apps/app-process.ts", import.meta.url));

/** Starts a SuperLink of ours on free ports; it keeps nothing. */
export function openSuperLink(
  security: Pick<SuperLinkOptions, "tls" | "superNodeKeys"> = {},
): Promise<SuperLink> {
  return startSuperLink({
    ...security,
    databasePath: ":memory:",
    operatorToken,
    serverAppIoPort: 0,
    fleetPort: 0,
    controlPort: 0,
  });
}

/** A SuperNode of ours, in the test's own process. */
export interface OpenSuperNode extends AsyncDisposable {
  readonly clientAppIoUrl: string;
  /** Its remarks. */
  readonly output: Lines;
}

/** Starts a SuperNode of ours at a Fleet, whoever's that is. */
export async function openSuperNode(
  fleet: SuperNodeOptions["fleet"],
  name: string,
  options: Pick<SuperNodeOptions, "privateKey" | "now"> = {},
): Promise<OpenSuperNode> {
  const output = new Lines();
  const node = await startSuperNode({
    ...options,
    fleet,
    clientAppIoPort: 0,
    nodeConfig: { name },
    pollIntervalMs: 500,
    onLog: (line) => output.add(line),
  });
  return {
    clientAppIoUrl: node.clientAppIoUrl,
    output,
    [Symbol.asyncDispose]: () => node.close(),
  };
}

/** A SuperExec of ours. */
export interface OpenSuperExec extends AsyncDisposable {
  /** What it did, what its apps have written, and how they ended. */
  readonly output: Lines;
}

/** Starts a SuperExec of ours at an AppIo service, whoever's that is; it starts processes of our echo apps. */
export function openEchoExec(pluginType: PluginType, appIo: string): OpenSuperExec {
  return openSuperExec(pluginType, appIo, ({ appType, address, token }, onLine) =>
    spawnWithToken({
      token,
      command: {
        command: process.execPath,
        args: ["-C", "countersign-source", appProcess, appType, "--address", address],
      },
      onLine,
    }),
  );
}

/** Starts a SuperExec of ours at an AppIo service, whoever's that is; it starts Flower's own processes. */
export async function openFlowerExec(
  { commands: directory, env }: Pick<Flower, "commands" | "env">,
  pluginType: PluginType,
  appIo: string,
): Promise<OpenSuperExec> {
  const commands = await findFlowerCommands(pluginType, directory);
  return openSuperExec(pluginType, appIo, ({ appType, address, token }, onLine) =>
    spawnFlowerApp({ appType, address, token, commands, env, onLine }),
  );
}

function openSuperExec(
  pluginType: PluginType,
  appIo: string,
  launch: (request: LaunchRequest, onLine: (line: ChildLine) => void) => ChildHandle,
): OpenSuperExec {
  const stopping = new AbortController();
  const output = new Lines();
  const ended = runSuperExec({
    appIo,
    pluginType,
    pollIntervalMs: 200,
    signal: stopping.signal,
    onEvent: ({ kind, ...event }) =>
      output.add(`${kind} ${"reason" in event ? event.reason : `run ${event.runId}`}`),
    launch: (request) => launch(request, ({ text }) => output.add(text)),
  }).catch((error: unknown) => output.add(`the SuperExec has failed: ${error}`));
  return {
    output,
    async [Symbol.asyncDispose]() {
      stopping.abort();
      await ended;
    },
  };
}

/** How a run of our SuperLink is created. */
export interface RunSettings {
  /** Values of the run's configuration. */
  readonly config?: Readonly<Record<string, string | number>>;
  /** Further options of `countersign run`. */
  readonly options?: readonly string[];
  /** File of the certificate with which the SuperLink proves itself. */
  readonly certificate?: string;
}

/** Creates a run of a bundle at our SuperLink, as an operator does: with `countersign run`. */
export async function startRun(
  superLink: SuperLink,
  bundleFile: string,
  { config = {}, options = [], certificate }: RunSettings = {},
): Promise<bigint> {
  const settings = Object.entries(config).map(([key, value]) => `--run-config=${key}=${value}`);
  const parameters = ["run", bundleFile, ...settings, ...options];
  return BigInt(
    await operate(
      superLink,
      parameters,
      certificate === undefined ? {} : { NODE_EXTRA_CA_CERTS: certificate },
    ),
  );
}

/** Stops a run of our SuperLink with `countersign stop`. */
export async function stopRun(superLink: SuperLink, runId: bigint): Promise<void> {
  await operate(superLink, ["stop", String(runId)]);
}

async function operate(
  { controlUrl }: SuperLink,
  parameters: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<string> {
  const { code, stdout, stderr } = await runCommand([...parameters, "--superlink", controlUrl], {
    COUNTERSIGN_OPERATOR_TOKEN: operatorToken,
    ...env,
  });
  if (code !== 0) throw new Error(`countersign ${parameters[0]} has failed: ${stderr}`);
  return stdout.trim();
}

/** Waits until a run of our SuperLink has finished; returns its status. */
export async function finished(
  { state }: SuperLink,
  runId: bigint,
): Promise<RunStatus | undefined> {
  for (;;) {
    const run = await state.runs.find(runId);
    if (run === undefined) throw new Error(`Run ${runId} is unknown.`);
    if (run.status?.status === "finished") return run.status;
    await delay(200);
  }
}

/** Waits until a text is in a run's log. */
export async function logged({ state }: SuperLink, runId: bigint, text: string): Promise<void> {
  while (!(await state.logs.after(runId, 0)).text.includes(text)) await delay(200);
}

/** The lines of JSON in a run's log: what the echo apps report. */
export async function reports({ state }: SuperLink, runId: bigint): Promise<unknown[]> {
  const { text } = await state.logs.after(runId, 0);
  return reportsIn(text);
}

/** The lines of JSON in a text. */
export function reportsIn(text: string): unknown[] {
  return text
    .split("\n")
    .filter((line) => line.startsWith("{"))
    .map((line): unknown => JSON.parse(line));
}

/** How often a SuperLink's guards have refused a call. */
export function refusals(superLink: SuperLink): number {
  return superLink.counters().reduce((sum, { refused }) => sum + refused, 0);
}

/** How often an RPC was allowed. */
export function allowed(superLink: SuperLink, method: string): number {
  return superLink.counters().find((count) => count.method === method)?.allowed ?? 0;
}

/** Prints what the parts of a federation have written if its test fails. */
export function showOnFailure(...parts: readonly { readonly output: Lines }[]): void {
  onTestFailed(() => console.error(parts.map(({ output }) => output.all)));
}

/** Host and port of a URL, as Flower's commands take an address. */
export function addressOf(url: string): string {
  return new URL(url).host;
}
