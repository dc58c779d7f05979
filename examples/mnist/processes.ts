import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

/** How long a process that was told to stop may take, in milliseconds, before it is killed. */
const stopGraceMs = 15_000;
/** How much of a process's stderr is kept, in lines, to be shown if it fails. */
const keptLines = 40;

/** One line of JSON that a command printed. */
export type Event = { readonly kind?: string } & Readonly<Record<string, unknown>>;

/** A command of the `countersign` command line, running in a process of its own. */
export interface Running {
  readonly name: string;
  /** Every JSON line it has printed so far. */
  readonly events: readonly Event[];
  /** The last lines of its stderr. */
  readonly errors: readonly string[];
  /** Resolves with the first event that matches, past or future; rejects when the process ends before. */
  event(matches: (event: Event) => boolean): Promise<Event>;
  /** Resolves when the process is gone and all its output has been read; rejects if it failed. */
  readonly ended: Promise<void>;
}

/** The command that starts `countersign`, with the Node and the options of Node that run this. */
export const countersign: readonly string[] = [
  process.execPath,
  ...process.execArgv,
  fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url)),
];

/** The processes of one federation. All are stopped together, and none outlives this process. */
export class Processes {
  readonly #signal: AbortSignal;
  readonly #long: { readonly running: Running; readonly child: ChildProcess }[] = [];
  #isStopping = false;
  #fail: (error: unknown) => void = () => {};
  /** Rejects when a process that should stay has gone. Never resolves. */
  readonly failure: Promise<never>;

  /** @param signal ends what `run` waits for */
  constructor(signal: AbortSignal) {
    this.#signal = signal;
    this.failure = new Promise((_, reject) => {
      this.#fail = reject;
    });
    this.failure.catch(() => {});
  }

  /** Starts a command that stays until it is stopped, and waits until it is ready. */
  async start(name: string, ...parameters: readonly string[]): Promise<Event> {
    const { running, child } = this.#spawn(name, parameters);
    this.#long.push({ running, child });
    running.ended
      .then(() => {
        if (!this.#isStopping) throw new Error(`${name} has stopped`);
      })
      .catch((error: unknown) => this.#fail(error));
    return running.event(({ kind }) => kind === "ready");
  }

  /** Runs a command to its end and returns what it printed. */
  async run(
    name: string,
    parameters: readonly string[],
    onEvent?: (event: Event) => void,
  ): Promise<readonly Event[]> {
    const { running, child } = this.#spawn(name, parameters, onEvent);
    const abort = (): void => void child.kill();
    this.#signal.addEventListener("abort", abort, { once: true });
    try {
      await running.ended;
    } finally {
      this.#signal.removeEventListener("abort", abort);
    }
    return running.events;
  }

  /** The process that was started under a name. */
  find(name: string): Running {
    const found = this.#long.find(({ running }) => running.name === name);
    if (found === undefined) throw new Error(`${name} was not started`);
    return found.running;
  }

  /** What the processes that were started have written to stderr: the last lines of each. */
  errors(): string {
    return this.#long
      .filter(({ running }) => running.errors.length > 0)
      .map(({ running }) => [`${running.name}:`, ...running.errors].join("\n  "))
      .join("\n");
  }

  /** Stops what was started, the last first, and waits until all are gone. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    for (const { running, child } of this.#long.toReversed()) {
      child.stdin?.end();
      const kill = setTimeout(() => child.kill("SIGKILL"), stopGraceMs);
      await running.ended.catch(() => {});
      clearTimeout(kill);
    }
  }

  #spawn(
    name: string,
    parameters: readonly string[],
    onEvent: (event: Event) => void = () => {},
  ): { running: Running; child: ChildProcess } {
    const [command = process.execPath, ...args] = [...countersign, ...parameters];
    const child = spawn(command, args, { stdio: ["pipe", "pipe", "pipe"] });
    child.stdin.on("error", () => {});
    const events: Event[] = [];
    const errors: string[] = [];
    const waiting = new Set<(event: Event) => void>();
    createInterface({ input: child.stdout }).on("line", (line) => {
      const event = parseEvent(line);
      events.push(event);
      onEvent(event);
      for (const tell of waiting) tell(event);
    });
    createInterface({ input: child.stderr }).on("line", (line) => {
      errors.push(line);
      if (errors.length > keptLines) errors.shift();
    });
    const ended = once(child, "close").then(([code, signal]) => {
      if (code === 0) return;
      throw new Error([`${name} ended with ${signal ?? `code ${code}`}`, ...errors].join("\n  "));
    });
    ended.catch(() => {});
    const event = (matches: (event: Event) => boolean): Promise<Event> => {
      const past = events.find(matches);
      if (past !== undefined) return Promise.resolve(past);
      const found = new Promise<Event>((resolve) => {
        const tell = (event: Event): void => {
          if (!matches(event)) return;
          waiting.delete(tell);
          resolve(event);
        };
        waiting.add(tell);
      });
      const gone = ended.then(() => {
        throw new Error(`${name} has stopped`);
      });
      return Promise.race([found, gone]);
    };
    return { running: { name, events, errors, event, ended }, child };
  }
}

/** The text in a field of an event. @throws Error when there is none */
export function textOf(event: Event | undefined, field: string): string {
  const value = event?.[field];
  if (typeof value !== "string") throw new Error(`expected "${field}" in ${JSON.stringify(event)}`);
  return value;
}

function parseEvent(line: string): Event {
  try {
    const value: unknown = JSON.parse(line);
    if (typeof value === "object" && value !== null) return { ...value };
  } catch {
    // Not every command prints JSON.
  }
  return { text: line };
}
