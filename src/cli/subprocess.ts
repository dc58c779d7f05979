import { spawn } from "node:child_process";
import { once } from "node:events";
import { databaseSecretVariables } from "./database.ts";
import { operatorTokenVariable } from "./operator-token.ts";
import { selfCommand } from "./self.ts";

/** How long a command that was told to stop may take, in milliseconds, before it is killed. */
const stopGraceMs = 10_000;

/** Another command of this program, run as a child process. */
export interface Subprocess {
  /** Resolves when the child is gone, with a sentence that says how it ended. */
  readonly ended: Promise<string>;
  /** Tells the child to stop (its stdin ends), and waits until it is gone. */
  stop(): Promise<void>;
}

/**
 * Starts a command of this program whose output goes where this process's goes. The child must watch its stdin
 * (`--watch-stdin`): it then ends with this process, however this process ends. It has this process's environment,
 * but for the secrets.
 */
export function startSubprocess(parameters: readonly string[]): Subprocess {
  const { command, args } = selfCommand([...parameters, "--watch-stdin"]);
  const child = spawn(command, args, {
    stdio: ["pipe", "inherit", "inherit"],
    env: withoutSecrets(process.env),
  });
  child.stdin.on("error", () => {});
  const ended = once(child, "exit").then(
    ([code, signal]) => `${parameters[0]} ended with ${signal ?? `code ${code}`}`,
    (error: unknown) =>
      `${parameters[0]} did not start: ${error instanceof Error ? error.message : ""}`,
  );
  return {
    ended,
    async stop() {
      child.stdin.end();
      const kill = setTimeout(() => child.kill("SIGKILL"), stopGraceMs);
      await ended;
      clearTimeout(kill);
    },
  };
}

/** Apps inherit what their SuperExec has, and may be anybody's: the SuperLink's own secrets end here. */
function withoutSecrets(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const secret = new Set([...databaseSecretVariables, operatorTokenVariable]);
  return Object.fromEntries(Object.entries(env).filter(([name]) => !secret.has(name)));
}
