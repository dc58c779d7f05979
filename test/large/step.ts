import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";

/** The most memory that this process has held so far, in bytes: what Linux calls its high-water mark. */
export function peakBytes(): number {
  const kibibytes = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync("/proc/self/status", "latin1"))?.[1];
  if (kibibytes === undefined) {
    throw new Error("/proc/self/status has no VmHWM");
  }
  return Number(kibibytes) * 1024;
}

/** What a step is told, one line of JSON on its stdin; the token is among it. */
export async function readTask(): Promise<Readonly<Record<string, string>>> {
  for await (const line of createInterface({ input: process.stdin })) {
    return JSON.parse(line);
  }
  throw new Error("stdin has ended before the task came");
}

/** Tells the test something, as a line of JSON. */
export function tell(news: Readonly<Record<string, string | number>>): void {
  process.stdout.write(`${JSON.stringify(news)}\n`);
}
