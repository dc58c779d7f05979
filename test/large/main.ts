import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface, type Interface } from "node:readline";
import { fileURLToPath } from "node:url";

// A record goes from a ServerApp by a SuperLink to a node and back, each in a process of its own, and the memory of
// each is measured: who sends or receives a record holds it once, and a server never does. Needs Linux's /proc.
//
//   npm run test:large [-- MiB]      default: 1024

const mebibyte = 2 ** 20;
const recordBytes = Number(process.argv[2] ?? 1_024) * mebibyte;
/** Objects under way at a time (contract section 7.7) of 5 MiB each. */
const windowBytes = 2 * 5 * mebibyte;
/** What may be in memory of who sends, beside the record: the promise. */
const sendingAllowance = 3 * windowBytes;
/**
 * What may be of who receives: two objects, in the pieces in which they arrived and as a whole, and what V8 has not
 * freed yet of the pieces of earlier ones: more on a busy machine.
 */
const receivingAllowance = 8 * windowBytes;
/** A server's: it never holds the record. SQLite keeps 64 MiB of pages; the rest is what V8 has not freed yet. */
const serverAllowance = (64 + 192) * mebibyte;

/** A step's process. */
class Step {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  readonly #name: string;

  constructor(name: string, task: Readonly<Record<string, string>>) {
    const file = fileURLToPath(new URL(`${name}.ts`, import.meta.url));
    const child = spawn(process.execPath, ["-C", "countersign-source", file], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    this.#name = name;
    this.#child = child;
    const lines: Interface = createInterface({ input: child.stdout });
    this.#lines = lines[Symbol.asyncIterator]();
    child.stdin.write(`${JSON.stringify(task)}\n`);
  }

  /** What it tells next. */
  async news(): Promise<Readonly<Record<string, string>>> {
    const { value, done } = await this.#lines.next();
    if (done) throw new Error(`${this.#name} has ended without a word`);
    return JSON.parse(value);
  }

  /** Ends its stdin, and waits until it is gone. */
  async end(): Promise<void> {
    const gone = this.#child.exitCode === null ? once(this.#child, "exit") : undefined;
    this.#child.stdin?.end();
    await gone;
  }

  kill(): void {
    this.#child.kill("SIGKILL");
  }
}

const directory = await mkdtemp(join(tmpdir(), "countersign-large-"));
const steps: Step[] = [];
const begin = (name: string, task: Readonly<Record<string, string>>): Step => {
  const step = new Step(name, task);
  steps.push(step);
  return step;
};
const results: { readonly what: string; readonly isRight: boolean }[] = [];
function check(what: string, isRight: boolean): void {
  results.push({ what, isRight });
  console.log(`${isRight ? "ok" : "FAILED"}: ${what}`);
}
function measured(who: string, before: unknown, after: unknown, limit: number): void {
  const [start, peak] = [Number(before), Number(after)];
  const text = `from ${inMebibytes(start)} to ${inMebibytes(peak)} MiB, at most ${inMebibytes(limit)} more`;
  check(`${who}: ${text}`, peak - start <= limit);
}
function inMebibytes(bytes: number): number {
  return Math.round(bytes / mebibyte);
}

console.log(`Peak memory (VmHWM) of each process; a record of ${inMebibytes(recordBytes)} MiB.`);
try {
  const superLink = begin("superlink", { database: join(directory, "state.sqlite") });
  const { serverAppIo = "", fleet = "", runId = "", token = "", before } = await superLink.news();
  const node = begin("node", { address: fleet, runId });
  await node.news();
  const common = { address: serverAppIo, runId, token };

  const sender = begin("server-app", { ...common, bytes: String(recordBytes) });
  const { messageId = "", ...sent } = await sender.news();
  await sender.end();
  measured("the ServerApp pushes", sent.before, sent.after, recordBytes + sendingAllowance);

  const relayed = await node.news();
  await node.end();
  measured("the node pulls", relayed.before, relayed.afterPull, recordBytes + receivingAllowance);
  measured("the node pushes too", relayed.before, relayed.after, recordBytes + receivingAllowance);
  check("the node has what was sent", relayed.digest === sent.digest);

  const receiver = begin("server-app", { ...common, messageId });
  const received = await receiver.news();
  await receiver.end();
  measured(
    "the ServerApp pulls",
    received.before,
    received.after,
    recordBytes + receivingAllowance,
  );
  check("the ServerApp has what was sent", received.digest === sent.digest);

  const end = superLink.end();
  const { after } = await superLink.news();
  await end;
  measured("the SuperLink", before, after, serverAllowance);
} finally {
  for (const step of steps) step.kill();
  await rm(directory, { recursive: true, force: true });
}
const failed = results.filter(({ isRight }) => !isRight).length;
console.log(`${results.length - failed} passed, ${failed} failed`);
process.exitCode = failed > 0 ? 1 : 0;
