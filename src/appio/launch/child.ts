import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import type { Token } from "../../policy/token.ts";
import { readLines } from "./bounded-lines.ts";

/** How a child process ended. */
export interface ChildExit {
  /** The exit code, or null when a signal ended the child or it never started. */
  readonly code: number | null;
  /** The signal that ended the child, or null. */
  readonly signal: string | null;
  /** Why the child could not be started; absent when it was. */
  readonly error?: Error;
}

/** A running app process, as its launcher sees it. */
export interface ChildHandle {
  /** The process id; undefined when the child could not be started. */
  readonly pid: number | undefined;
  /** Settles when the child is gone; never rejects. */
  readonly exited: Promise<ChildExit>;
  /** Tells the child that its parent is going (its stdin ends), kills it when it stays, and waits until it is gone. */
  stop(): Promise<ChildExit>;
}

/** What to start. The token is no part of it: it goes through the child's stdin. */
export interface ChildCommand {
  readonly command: string;
  readonly args: readonly string[];
  /** The child's environment; default: the parent's. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** The child's working directory; default: the parent's. */
  readonly cwd?: string;
}

/** One line a child wrote. */
export interface ChildLine {
  readonly stream: "stdout" | "stderr";
  readonly text: string;
}

/** Options of {@link spawnWithToken}. */
export interface SpawnOptions {
  readonly command: ChildCommand;
  readonly token: Token;
  /** Receives every line the child writes, the token blotted out; must not throw. */
  readonly onLine: (line: ChildLine) => void;
  /** How long a child may take to leave once its stdin ended, in milliseconds; default 5000 (Flower's forced exit). */
  readonly stopGraceMs?: number;
}

/** How long a child that was told to stop may take, in milliseconds. */
export const defaultStopGraceMs = 5_000;

/** How long output may trail behind a child's exit: a grandchild that inherited the pipes can hold them open. */
const outputGraceMs = 1_000;

/**
 * Starts a child and hands it its token as the first line of its stdin: `{"token": "..."}`. Arguments and environment
 * of a process can be read by others on the machine, a pipe cannot. The pipe stays open for as long as this process
 * lives, so its end tells the child that the parent is gone, however the parent ended.
 *
 * @throws TypeError when the token appears in the command's arguments or environment.
 */
export function spawnWithToken(options: SpawnOptions): ChildHandle {
  const { command, token, stopGraceMs = defaultStopGraceMs } = options;
  const exposed = [command.command, ...command.args, ...Object.values(command.env ?? {})];
  if (exposed.some((text) => text?.includes(token))) {
    throw new TypeError('"command" must not contain the token: it is sent through stdin');
  }
  const { child, exited, stop } = startChild({
    ...options,
    stopGraceMs,
    tellToStop: (told) => told.stdin.end(),
  });
  // A child that dies before it reads breaks the pipe; `exited` tells that story.
  child.stdin.on("error", () => {});
  child.stdin.write(`${JSON.stringify({ token })}\n`);
  return { pid: child.pid, exited, stop };
}

/** What {@link startChild} needs. */
interface StartOptions extends Required<SpawnOptions> {
  readonly tellToStop: (child: ChildProcessWithoutNullStreams) => void;
}

/** Starts a child, whose lines are told without the token. */
export function startChild({ command, token, onLine, stopGraceMs, tellToStop }: StartOptions) {
  const child = spawn(command.command, command.args, {
    stdio: "pipe",
    env: command.env,
    cwd: command.cwd,
  });
  const exited = new Promise<ChildExit>((resolve) => {
    child.once("error", (error) => resolve({ code: null, signal: null, error }));
    child.once("close", (code, signal) => resolve({ code, signal }));
    child.once("exit", (code, signal) => {
      setTimeout(() => resolve({ code, signal }), outputGraceMs).unref();
    });
  });
  for (const stream of ["stdout", "stderr"] as const) {
    readLines(child[stream], (text) => onLine({ stream, text: text.replaceAll(token, "[token]") }));
  }
  const stop = async (): Promise<ChildExit> => {
    tellToStop(child);
    const kill = setTimeout(() => child.kill("SIGKILL"), stopGraceMs);
    try {
      return await exited;
    } finally {
      clearTimeout(kill);
    }
  };
  return { child, exited, stop };
}
