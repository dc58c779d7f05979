import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const main = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));

/** What a command printed and how it ended. */
export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A command that goes on until it is stopped. */
export interface Started {
  readonly child: ChildProcess;
  /** The first JSON line of a kind, in which these fields have these values. */
  event(
    kind: string,
    fields?: Readonly<Record<string, unknown>>,
  ): Promise<Readonly<Record<string, unknown>>>;
  readonly ended: Promise<Ended>;
}

/** Starts `countersign` with these arguments. */
export function start(
  parameters: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Started {
  const child = spawn(process.execPath, ["-C", "countersign-source", main, ...parameters], {
    env: { ...process.env, ...env },
  });
  let stdout = "";
  let stderr = "";
  const seen: Readonly<Record<string, unknown>>[] = [];
  const waiting = new Set<() => void>();
  createInterface({ input: child.stdout }).on("line", (line) => {
    stdout += `${line}\n`;
    if (line.startsWith("{")) seen.push(JSON.parse(line));
    for (const look of waiting) look();
  });
  child.stderr.on("data", (part) => {
    stderr += part;
  });
  const ended = once(child, "close").then(([code]): Ended => ({ code, stdout, stderr }));
  const event: Started["event"] = (kind, fields = {}) =>
    new Promise((resolve, reject) => {
      const look = (): void => {
        const wanted = Object.entries({ ...fields, kind });
        const found = seen.find((each) => wanted.every(([name, value]) => each[name] === value));
        if (found === undefined) return;
        waiting.delete(look);
        resolve(found);
      };
      waiting.add(look);
      look();
      void ended.then(() => reject(new Error(`ended without ${kind}: ${stdout}${stderr}`)));
    });
  return { child, event, ended };
}

/** Runs `countersign` with these arguments to its end. */
export function run(
  parameters: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Ended> {
  const { child, ended } = start(parameters, env);
  child.stdin?.end();
  return ended;
}
