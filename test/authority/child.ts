import { fork } from "node:child_process";
import { on, once } from "node:events";
import { fileURLToPath } from "node:url";
import { onTestFinished } from "vitest";

/** A process of a test, told and heard by messages. */
export interface Child<Told, Heard> {
  /** Sends a message. */
  tell(message: Told): void;
  /** Resolves with the next message that was not heard yet; rejects when the process ended before. */
  hear(): Promise<Heard>;
  /** Ends it as a crash would, and waits for the end. */
  kill(): Promise<void>;
}

/** Starts a file of this folder as a process of its own; it ends with the running test. */
export function startChild<Told extends object, Heard>(
  file: string,
  ...args: readonly string[]
): Child<Told, Heard> {
  const child = forkChild<Told, Heard>(new URL(file, import.meta.url), ...args);
  onTestFinished(child.kill);
  return child;
}

/** Starts a file as a process of its own, for whoever kills it. */
export function forkChild<Told extends object, Heard>(
  file: URL,
  ...args: readonly string[]
): Child<Told, Heard> {
  const child = fork(fileURLToPath(file), args, {
    execArgv: ["-C", "countersign-source"],
    serialization: "advanced",
  });
  const exited = once(child, "exit");
  const messages = on(child, "message", { close: ["exit"] });
  async function kill(): Promise<void> {
    child.kill("SIGKILL");
    await exited;
  }
  return {
    tell: (message) => child.send(message),
    async hear() {
      const { value, done } = await messages.next();
      if (done) {
        throw new Error(`${file.pathname} has ended`);
      }
      // What arrives is what the test's own process sends: its type is the test's claim.
      return value[0] as Heard;
    },
    kill,
  };
}
