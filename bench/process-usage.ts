import { readdirSync, readFileSync } from "node:fs";

/**
 * The time for which the living threads of a process have run on a processor,
 * in nanoseconds: to the nanosecond, where `/proc/PID/stat` counts in hundredths
 * of a second. Linux only.
 */
export function cpuNanosecondsOf(pid: number): number {
  let sum = 0;
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    sum += Number(read(`/proc/${pid}/task/${thread}/schedstat`).split(" ", 1)[0]);
  }
  return sum;
}

/** The memory of a process that is in RAM, in bytes. Linux only. */
export function residentBytesOf(pid: number): number {
  const [, kibibytes] = /^VmRSS:\s+(\d+) kB$/m.exec(read(`/proc/${pid}/status`)) ?? [];
  return Number(kibibytes) * 1024;
}

/** A file of /proc; as good as empty when its thread has just ended. */
function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "0";
  }
}
