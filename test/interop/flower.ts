import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { inject } from "vitest";
import { Lines } from "./lines.ts";

/** How long a process that was told to stop may take before it is killed, in milliseconds. */
const stopGraceMs = 10_000;

/** The Flower app that all federations run. */
const echoApp = fileURLToPath(new URL("echo-app", import.meta.url));

/** Whether Flower is installed; tests against it are skipped otherwise. */
export const hasFlower = inject("flowerCommands") !== undefined;

/** What came of a script's calls, by name of the case. */
export type Outcomes = Readonly<Record<string, unknown>>;

/** A process of Flower's, with those that it starts. It is stopped with its {@link Flower}. */
export interface FlowerProcess {
  /** Stops it before. */
  stop(): Promise<void>;
  /** What it and its children write. */
  readonly output: Lines;
}

/** A SuperNode of Flower's; addresses are host and port. */
export interface FlowerSuperNode extends FlowerProcess {
  readonly clientAppIo: string;
}

/** A SuperLink of Flower's; addresses are host and port. */
export interface FlowerSuperLink extends FlowerProcess {
  readonly serverAppIo: string;
  readonly fleet: string;
  readonly control: string;
}

/** Flower's commands, with a home of their own. Nothing that they start outlives this object. */
export class Flower implements AsyncDisposable {
  /** Directory of the commands. */
  readonly commands: string;
  readonly #home: string;
  readonly #running: FlowerProcess[] = [];

  private constructor(commands: string, home: string) {
    this.commands = commands;
    this.#home = home;
  }

  /** @throws Error where Flower is not installed */
  static async open(): Promise<Flower> {
    const commands = inject("flowerCommands");
    if (commands === undefined) throw new Error("Flower is not installed.");
    return new Flower(commands, await mkdtemp(join(tmpdir(), "countersign-flower-")));
  }

  /** Starts `flower-superexec`, which starts apps at an AppIo service. */
  startSuperExec(pluginType: "serverapp" | "clientapp", address: string): FlowerProcess {
    return this.#start("flower-superexec", [
      ...["--insecure", "--plugin-type", pluginType],
      ...["--appio-api-address", address],
    ]);
  }

  /**
   * Starts `flower-supernode`, which leaves it to others to start ClientApps: on a port that the
   * system chooses it cannot, as it tells the SuperExec that it starts the port 0.
   */
  async startSuperNode(
    fleet: string,
    name: string,
    security: readonly string[] = ["--insecure"],
  ): Promise<FlowerSuperNode> {
    const running = this.#start("flower-supernode", [
      ...[...security, "--superlink", fleet, "--isolation", "process"],
      ...["--clientappio-api-address", "127.0.0.1:0", "--node-config", `name="${name}"`],
    ]);
    return { ...running, clientAppIo: await running.output.find(/ClientAppIo API on (\S+)/) };
  }

  /** Starts `flower-superlink`, which leaves it to others to start ServerApps. */
  async startSuperLink(security: readonly string[] = ["--insecure"]): Promise<FlowerSuperLink> {
    const running = this.#start("flower-superlink", [
      ...[...security, "--isolation", "process"],
      ...["--serverappio-api-address", "127.0.0.1:0"],
      ...["--fleet-api-address", "127.0.0.1:0", "--control-api-address", "127.0.0.1:0"],
    ]);
    const [serverAppIo, fleet, control] = await Promise.all([
      running.output.find(/ServerAppIo API.* on (\S+)/),
      running.output.find(/Fleet API.* on (\S+)/),
      running.output.find(/Control API.* on (\S+)/),
    ]);
    return { ...running, serverAppIo, fleet, control };
  }

  /** Starts a `flower-superlink` all of whose runs are simulations. */
  async startSimulationSuperLink(): Promise<Omit<FlowerSuperLink, "fleet">> {
    const running = this.#start("flower-superlink", [
      ...["--insecure", "--isolation", "process", "--simulation"],
      ...["--serverappio-api-address", "127.0.0.1:0", "--control-api-address", "127.0.0.1:0"],
    ]);
    const [serverAppIo, control] = await Promise.all([
      running.output.find(/ServerAppIo API.* on (\S+)/),
      running.output.find(/Control API.* on (\S+)/),
    ]);
    return { ...running, serverAppIo, control };
  }

  /** Builds the bundle of the echo app with `flwr build`; returns its path. */
  async buildBundle(): Promise<string> {
    await this.run("flwr", "build", "--app", echoApp);
    const [name, ...others] = (await readdir(this.#home)).filter((file) => file.endsWith(".fab"));
    if (name === undefined || others.length > 0) throw new Error("flwr build made no bundle.");
    return join(this.#home, name);
  }

  /**
   * Lets Flower's command line reach a SuperLink as `here`.
   *
   * @param security how the connection is made safe, as TOML
   */
  async connectTo(
    { control }: Pick<FlowerSuperLink, "control">,
    security = "insecure = true",
  ): Promise<void> {
    const connection = ["[superlink.here]", `address = "${control}"`, security, ""];
    await writeFile(join(this.#home, "config.toml"), connection.join("\n"));
  }

  /** Starts a run of the echo app with `flwr run` at the SuperLink that is `here`. */
  async startRun(
    config: Readonly<Record<string, string | number>> = {},
    ...options: readonly string[]
  ): Promise<string> {
    const settings = Object.entries(config).map(
      ([key, value]) => `${key}=${typeof value === "string" ? `"${value}"` : value}`,
    );
    const stdout = await this.run(
      ...(["flwr", "run", echoApp, "here", "--format", "json"] as const),
      ...(settings.length === 0 ? [] : ["--run-config", settings.join(" ")]),
      ...options,
    );
    const runId = /"run-id": "(\d+)"/.exec(stdout)?.[1];
    if (runId === undefined) throw new Error(`flwr run has started nothing: ${stdout}`);
    return runId;
  }

  /** The status of a run, as `flwr list` tells it. */
  async statusOf(runId: string): Promise<string | undefined> {
    const stdout = await this.run("flwr", "list", "here", "--run-id", runId, "--format", "json");
    return /"status": "([^"]*)"/.exec(stdout)?.[1];
  }

  /** The log of a run so far, as `flwr log` tells it. */
  logOf(runId: string): Promise<string> {
    return this.run("flwr", "log", runId, "here", "--show");
  }

  /** Runs a script of `python/` in Flower's environment; returns the JSON object that it prints. */
  async probe(script: string, ...args: readonly string[]): Promise<Outcomes> {
    const path = fileURLToPath(new URL(`python/${script}`, import.meta.url));
    return JSON.parse(await this.run("python", path, ...args));
  }

  /** Runs a command to its end; returns what it wrote to stdout. */
  async run(command: string, ...args: readonly string[]): Promise<string> {
    const { stdout } = await promisify(execFile)(join(this.commands, command), args, {
      env: this.env,
      cwd: this.#home,
    });
    return stdout;
  }

  /** Stops all processes, the last first, as a terminal does. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const running of this.#running.toReversed()) await running.stop();
    await rm(this.#home, { recursive: true, force: true });
  }

  #start(command: string, args: readonly string[]): FlowerProcess {
    const child = spawn(join(this.commands, command), args, {
      env: this.env,
      // A group of its own, so that what it starts can be stopped with it.
      detached: true,
      stdio: ["ignore", "pipe", "pipe"],
    });
    const output = new Lines();
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream }).on("line", (line) => output.add(line));
    }
    const gone = once(child, "close").then(
      () => output.close(`${command} has ended`),
      (error: Error) => output.close(`${command} could not be started: ${error.message}`),
    );
    const stop = async () => {
      signalGroup(child, "SIGTERM");
      const kill = setTimeout(() => signalGroup(child, "SIGKILL"), stopGraceMs);
      await gone;
      clearTimeout(kill);
      // Those that it started and that have outlived it.
      signalGroup(child, "SIGKILL");
    };
    const running = { output, stop };
    this.#running.push(running);
    return running;
  }

  /** Where Flower keeps its files, and tests theirs; removed at the end. */
  get home(): string {
    return this.#home;
  }

  /** The environment of Flower's processes. */
  get env(): NodeJS.ProcessEnv {
    return {
      ...process.env,
      PATH: `${this.commands}${delimiter}${process.env.PATH}`,
      FLWR_HOME: this.#home,
      // Nothing leaves the loopback interface: no telemetry, no look for a newer release.
      FLWR_TELEMETRY_ENABLED: "0",
      FLWR_DISABLE_UPDATE_CHECK: "1",
      PYTHONUNBUFFERED: "1",
      // Compiled Python does not belong beside the app's sources.
      PYTHONDONTWRITEBYTECODE: "1",
    };
  }
}

function signalGroup({ pid }: ChildProcess, signal: NodeJS.Signals): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, signal);
  } catch {
    // Nobody of the group is left.
  }
}
