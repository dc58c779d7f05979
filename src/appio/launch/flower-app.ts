import { access, constants } from "node:fs/promises";
import { delimiter, join } from "node:path";
import type { Token } from "../../policy/token.ts";
import { type ChildHandle, type ChildLine, defaultStopGraceMs, startChild } from "./child.ts";
import type { AppType, PluginType } from "./plugin-type.ts";

/** The commands of Flower's app processes, and how each is told its service (contract section 8). */
const flowerApps: Readonly<
  Record<AppType, { readonly command: string; readonly addressOption: string }>
> = {
  serverapp: { command: "flwr-serverapp", addressOption: "--serverappio-api-address" },
  simulation: { command: "flwr-simulation", addressOption: "--serverappio-api-address" },
  clientapp: { command: "flwr-clientapp", addressOption: "--clientappio-api-address" },
};

/** Paths of Flower's commands, by the kinds of apps that they run. */
export type FlowerCommands = ReadonlyMap<AppType, string>;

/**
 * Finds the commands that a SuperExec of this type starts. Before the first app is claimed: a claim that launches
 * nothing lets the run fail.
 *
 * @param path directories, separated as in PATH
 * @throws Error when one is not there
 */
export async function findFlowerCommands(
  pluginType: PluginType,
  path: string,
): Promise<FlowerCommands> {
  const appTypes: readonly AppType[] =
    pluginType === "serverapp" ? ["serverapp", "simulation"] : ["clientapp"];
  const found = appTypes.map(
    async (appType) => [appType, await findCommand(flowerApps[appType].command, path)] as const,
  );
  return new Map(await Promise.all(found));
}

async function findCommand(name: string, path: string): Promise<string> {
  for (const directory of path.split(delimiter)) {
    const file = join(directory, name);
    const isExecutable = await access(file, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (directory !== "" && isExecutable) return file;
  }
  throw new Error(`Flower's command ${name} was not found: install the Python package flwr 1.29.`);
}

/** Options of {@link spawnFlowerApp}. */
export interface FlowerAppOptions {
  readonly appType: AppType;
  /** URL of the AppIo service; plaintext, for Flower's processes speak nothing else to it. */
  readonly address: string;
  readonly token: Token;
  readonly commands: FlowerCommands;
  /** The process's environment; default: the parent's. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Receives every line the process writes, the token blotted out; must not throw. */
  readonly onLine: (line: ChildLine) => void;
  /** How long the process may take to leave once it was told to, in milliseconds; default 5000 (Flower's forced exit). */
  readonly stopGraceMs?: number;
}

/**
 * Starts an app process of Flower's own, for apps in Python. It takes its token as an argument and nowhere else: others
 * on the machine can read it for as long as the process lives. All other apps get theirs by `spawnWithToken`. The
 * process ends by itself when this one is gone.
 *
 * @throws TypeError when the address is not plaintext, or "commands" lacks the app's
 */
export function spawnFlowerApp(options: FlowerAppOptions): ChildHandle {
  const { appType, address, token, commands, env, onLine } = options;
  const { protocol, host } = new URL(address);
  if (protocol !== "http:") {
    throw new TypeError(`Flower's app processes speak plaintext only, so not to ${address}`);
  }
  const command = commands.get(appType);
  if (command === undefined) {
    throw new TypeError(`"commands" must have ${flowerApps[appType].command}`);
  }
  const args = [
    ...["--insecure", flowerApps[appType].addressOption, host],
    ...["--token", token, "--parent-pid", String(process.pid)],
  ];
  const { child, exited, stop } = startChild({
    command: { command, args, ...(env === undefined ? {} : { env }) },
    token,
    onLine,
    stopGraceMs: options.stopGraceMs ?? defaultStopGraceMs,
    tellToStop: (told) => told.kill("SIGTERM"),
  });
  child.stdin.on("error", () => {}).end();
  return { pid: child.pid, exited, stop };
}
