import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { cpus, loadavg, release, totalmem } from "node:os";

/** What the figures depend on besides the code. */
export interface Conditions {
  readonly processor: string;
  readonly system: string;
  readonly versions: string;
  /** Mean number of processes that wanted to run, in the minute before the benchmark. */
  readonly loadBefore: number;
  readonly startedAt: string;
}

/** Notes the conditions; to be called before anything is started. */
export function noteConditions(): Conditions {
  const [first] = cpus();
  const gibibytes = (totalmem() / 1024 ** 3).toFixed(0);
  const h2load = execFileSync("h2load", ["--version"], { encoding: "utf8" }).trim();
  return {
    processor: `${first?.model ?? "unknown"}, ${cpus().length} processors, ${gibibytes} GiB`,
    system: `${process.platform} ${release()}`,
    versions: [
      `Node ${process.versions.node}`,
      ...["@connectrpc/connect-node", "@grpc/grpc-js"].map((name) => `${name} ${versionOf(name)}`),
      h2load,
    ].join(", "),
    loadBefore: loadavg()[0] ?? 0,
    startedAt: new Date().toISOString().slice(0, 16).replace("T", " "),
  };
}

function versionOf(name: string): string {
  const path = new URL(`../node_modules/${name}/package.json`, import.meta.url);
  const { version }: { readonly version: string } = JSON.parse(readFileSync(path, "utf8"));
  return version;
}
