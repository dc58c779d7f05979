import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { cpuNanosecondsOf, residentBytesOf } from "./process-usage.ts";

/**
 * A process that answers each line on stdin with a line of JSON on stdout, and
 * says one when it is ready. It ends when its stdin does, so with this process.
 */
export interface Child {
  /** What it said when it was ready. */
  readonly greeting: Readonly<Record<string, unknown>>;
  /** Sends a line and returns what it answers. */
  ask(line: string): Promise<Readonly<Record<string, unknown>>>;
  /** The time that it has spent on a processor, in nanoseconds. */
  cpuNanoseconds(): number;
  /** Its memory, in bytes. */
  residentBytes(): number;
  /** Ends it. */
  stop(): Promise<void>;
}

/**
 * Starts a process on one processor.
 *
 * @throws Error with what it wrote, if it ends before it is ready.
 */
export async function startChild(
  core: number,
  command: string,
  args: readonly string[],
): Promise<Child> {
  // taskset becomes the command, so the process that is started is the one that is measured.
  const child = spawn("taskset", ["-c", String(core), command, ...args], {
    stdio: ["pipe", "pipe", "pipe"],
  });
  const exited = once(child, "exit");
  let errors = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    errors = (errors + text).slice(-4_000);
  });
  child.stdin.on("error", () => {});
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async (): Promise<Readonly<Record<string, unknown>>> => {
    const { done, value } = await lines.next();
    if (done === true) {
      await exited;
      throw new Error(`${[command, ...args].join(" ")} has ended: ${errors}`);
    }
    return JSON.parse(value);
  };
  const greeting = await next();
  const pid = child.pid ?? 0;
  return {
    greeting,
    ask: (line) => {
      child.stdin.write(`${line}\n`);
      return next();
    },
    cpuNanoseconds: () => cpuNanosecondsOf(pid),
    residentBytes: () => residentBytesOf(pid),
    stop: async () => {
      child.stdin.end();
      const late = setTimeout(() => child.kill("SIGKILL"), 3_000);
      await exited;
      clearTimeout(late);
    },
  };
}
