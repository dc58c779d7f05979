import { execFileSync } from "node:child_process";
import { availableParallelism } from "node:os";

/** Which processor runs what. */
export interface Cores {
  /** That of the server being measured. */
  readonly server: number;
  /** That of whatever calls it. */
  readonly load: number;
}

/**
 * Puts this process and all that it starts on the last of its processors; servers get the first.
 *
 * @throws Error where there is no `taskset`, or just one processor: client and server would take turns.
 */
export function takeCores(): Cores {
  if (availableParallelism() < 2) throw new Error("the benchmark needs two processors");
  const [, list = ""] = /: (.*)$/m.exec(taskset("-c", "-p", String(process.pid))) ?? [];
  const ids = list.split(/[,-]/).map(Number);
  const cores = { server: Math.min(...ids), load: Math.max(...ids) };
  taskset("-a", "-c", "-p", String(cores.load), String(process.pid));
  return cores;
}

function taskset(...args: string[]): string {
  return execFileSync("taskset", args, { encoding: "utf8" });
}
