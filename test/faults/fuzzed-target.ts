import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface, type Interface } from "node:readline";
import { fileURLToPath } from "node:url";

/** Where the servers of `target.ts` are, and what they accept. */
export interface TargetFacts {
  readonly serverAppIoUrl: string;
  readonly fleetUrl: string;
  readonly mailboxUrl: string;
  /** The live token of a running run. */
  readonly appToken: string;
  readonly mailboxToken: string;
  /** Id of the one node, in decimal digits. */
  readonly nodeId: string;
  /** Its private key, in PEM. */
  readonly nodeKey: string;
}

/** What the process of the servers uses, after a garbage collection. */
export interface Usage {
  /** In bytes. */
  readonly heapUsed: number;
  /** In bytes. */
  readonly rss: number;
  /** Timers, sockets and the like that keep it running. */
  readonly handles: number;
}

const program = fileURLToPath(new URL("target.ts", import.meta.url));

/** The process that is fuzzed. */
export class FuzzedTarget implements AsyncDisposable {
  readonly facts: TargetFacts;
  readonly #child: ChildProcess;
  readonly #lines: Interface;
  #stderr = "";

  private constructor(child: ChildProcess, lines: Interface, facts: TargetFacts) {
    this.#child = child;
    this.#lines = lines;
    this.facts = facts;
    child.stderr?.on("data", (text) => {
      this.#stderr += text;
    });
  }

  /** Starts it, and waits until its servers listen. */
  static async start(): Promise<FuzzedTarget> {
    const child = spawn(process.execPath, ["--expose-gc", "-C", "countersign-source", program], {
      stdio: ["pipe", "pipe", "pipe"],
    });
    const lines = createInterface({ input: child.stdout });
    const line = await nextLine(child, lines);
    return new FuzzedTarget(child, lines, JSON.parse(line));
  }

  /** What it uses. Fails when it has ended or does not answer. */
  async usage(): Promise<Usage> {
    this.assertAlive();
    const line = nextLine(this.#child, this.#lines);
    this.#child.stdin?.write("\n");
    return JSON.parse(await line);
  }

  /** @throws Error with its last words if it has ended. */
  assertAlive(): void {
    const { exitCode, signalCode } = this.#child;
    if (exitCode !== null || signalCode !== null) {
      throw new Error(`the target ended (${exitCode ?? signalCode}): ${this.#stderr}`);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const ended = once(this.#child, "exit");
      this.#child.stdin?.end();
      await ended;
    }
  }
}

function nextLine(child: ChildProcess, lines: Interface): Promise<string> {
  return new Promise((resolve, reject) => {
    const onExit = (code: number | null) => reject(new Error(`the target ended (${code})`));
    child.once("exit", onExit);
    lines.once("line", (line) => {
      child.off("exit", onExit);
      resolve(line);
    });
  });
}
