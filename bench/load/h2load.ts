import { execFile } from "node:child_process";
import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { callTimeout, timeoutHeader, tokenHeader } from "../servers/paths.ts";
import { quantile } from "../statistics.ts";

const run = promisify(execFile);

/** Calls for h2load to make, all alike. */
export interface Load {
  readonly url: string;
  readonly path: string;
  /** File with the body. */
  readonly bodyFile: string;
  readonly token: string;
  readonly calls: number;
  readonly connections: number;
  /** Calls that are open at once on each connection. */
  readonly streams: number;
  /** Bytes of body that the answer to each call must have. */
  readonly answerBytes: number;
}

/** What h2load has measured. */
export interface LoadResult {
  readonly seconds: number;
  /** Times from a call's start to the end of its answer: half of them, and 99 in 100, are below. */
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/**
 * Makes calls with h2load (nghttp2), which takes a fraction of the time that a server needs. Each has a deadline.
 *
 * @param directory for its log.
 * @throws Error if any call failed, had another HTTP status than 200, or all together have not
 * brought as many bytes as they should: h2load does not look at trailers or bodies.
 */
export async function loadWithH2load(directory: string, load: Load): Promise<LoadResult> {
  const log = join(directory, "h2load.log");
  // h2load adds to a log that is there.
  await rm(log, { force: true });
  const { stdout } = await run("h2load", [
    ...["-n", String(load.calls), "-c", String(load.connections), "-m", String(load.streams)],
    ...["-d", load.bodyFile, "--log-file", log],
    ...["-H", "content-type: application/grpc", "-H", "te: trailers"],
    ...["-H", `${tokenHeader}: ${load.token}`, "-H", `${timeoutHeader}: ${callTimeout}`],
    `${load.url}${load.path}`,
  ]);
  const seconds = secondsIn(stdout);
  const succeeded = Number(/(\d+) succeeded, 0 failed, 0 errored, 0 timeout/.exec(stdout)?.[1]);
  const dataBytes = Number(/\((\d+)\) data$/m.exec(stdout)?.[1]);
  if (
    seconds === undefined ||
    succeeded !== load.calls ||
    !stdout.includes(`status codes: ${load.calls} 2xx`) ||
    dataBytes !== load.calls * load.answerBytes
  ) {
    throw new Error(
      `${load.calls} calls of ${load.url}${load.path} should have brought ` +
        `${load.calls * load.answerBytes} bytes:\n${stdout}`,
    );
  }
  const times = Float64Array.from((await readFile(log, "utf8")).trimEnd().split("\n"), (line) =>
    Number(line.slice(line.lastIndexOf("\t") + 1)),
  ).sort();
  return { seconds, p50Ms: quantile(times, 0.5) / 1000, p99Ms: quantile(times, 0.99) / 1000 };
}

function secondsIn(output: string): number | undefined {
  const [, value, unit] = /finished in ([\d.]+)(us|ms|s|m)\b/.exec(output) ?? [];
  const scale = new Map([
    ["us", 1e-6],
    ["ms", 1e-3],
    ["s", 1],
    ["m", 60],
  ]).get(unit ?? "");
  return scale === undefined ? undefined : Number(value) * scale;
}
