import { readFile } from "node:fs/promises";
import { Command, Option } from "commander";
import type { AttackReport } from "../testing/attack-run.ts";
import type { HttpVersion, Protocol } from "../testing/columns.ts";
import { builtInPolicies, loadCredentials, loadPolicies } from "./attack-modules.ts";
import { ProgressBar } from "./attack-progress.ts";
import { CommandError, exitCode } from "./exit-code.ts";
import { printableText, printJson, printLine } from "./output.ts";
import { parseMilliseconds, parseServiceUrl } from "./parameters.ts";

interface AttackCommandOptions {
  readonly policy: readonly string[];
  readonly credentials?: string;
  readonly all?: boolean;
  readonly protocol?: readonly Protocol[];
  readonly http?: HttpVersion;
  readonly refusalText?: string;
  readonly denialText?: string;
  readonly ca?: string;
  readonly iOperateThisServer?: boolean;
  readonly timeout: number;
  readonly maxDuration: number;
  readonly json?: boolean;
}

const protocols: readonly Protocol[] = [
  "gRPC",
  "gRPC-web",
  "Connect binary",
  "Connect JSON",
  "Connect GET",
];
const httpVersions: readonly HttpVersion[] = ["HTTP/1.1", "HTTP/2"];

/** `countersign attack`: makes hostile calls at a server, and tells which of them were not refused as they must be. */
export function attackCommand(): Command {
  return new Command("attack")
    .description(
      "Make hostile calls at a server of yours, derived from its policies, and tell which were not refused as they must be.",
    )
    .argument("<url>", "base URL of the server", parseServiceUrl)
    .requiredOption(
      "--policy <policy...>",
      `a module that exports policies (FILE or FILE#export), or one of ${builtInPolicies.join(", ")}`,
    )
    .option(
      "--credentials <module>",
      "a module that exports live and dead credentials (FILE, which means FILE#credentials, or FILE#export)",
    )
    .option("--all", "every hostile credential with every hostile request, not only in pairs")
    .addOption(new Option("--protocol <protocol...>", "only these protocols").choices(protocols))
    .addOption(new Option("--http <version>", "only this version").choices(httpVersions))
    .option("--refusal-text <text>", "the text of every refusal, if it is not countersign's")
    .option("--denial-text <text>", "the text of every denial, if it is not countersign's")
    .option("--ca <file>", "PEM file with certificates to trust")
    .option("--i-operate-this-server", "needed for any host but this machine")
    .option("--timeout <ms>", "time for one call, in milliseconds", parseMilliseconds, 5_000)
    .option("--max-duration <ms>", "time for all, in milliseconds", parseMilliseconds, 600_000)
    .option("--json", "print JSON, a line for the whole report")
    .addHelpText(
      "after",
      `\nExits with ${exitCode.failure} if something was found, or the attack did not come to its end.`,
    )
    .action(runAttack);
}

async function runAttack(url: string, options: AttackCommandOptions): Promise<void> {
  const policies = (await Promise.all(options.policy.map(loadPolicies))).flat();
  const { attack } = await import("../testing/attack.ts");
  const { formatReport } = await import("../testing/format-report.ts");
  const bar = process.stderr.isTTY ? new ProgressBar(process.stderr) : undefined;
  const report = await attack({
    url,
    policies,
    breadth: options.all ? "all" : "pairs",
    limits: { timeoutMs: options.timeout, maxDurationMs: options.maxDuration },
    iOperateThisServer: options.iOperateThisServer ?? false,
    onProgress: (progress) => bar?.show(progress),
    ...(options.credentials === undefined
      ? {}
      : { credentials: await loadCredentials(options.credentials) }),
    ...(options.protocol === undefined ? {} : { protocols: options.protocol }),
    ...(options.http === undefined ? {} : { httpVersions: [options.http] }),
    ...(options.ca === undefined ? {} : { ca: await readCertificates(options.ca) }),
    ...(options.refusalText === undefined
      ? {}
      : { refusal: { code: "unauthenticated", text: options.refusalText } }),
    ...(options.denialText === undefined
      ? {}
      : { denial: { code: "permission_denied", text: options.denialText } }),
  }).finally(() => bar?.clear());
  if (options.json) printReport(report);
  else printLine(printableText(formatReport(report)));
  if (report.findings.length > 0 || report.incomplete !== undefined) {
    process.exitCode = exitCode.failure;
  }
}

function printReport(report: AttackReport): void {
  const { findings, rows, expected, ...rest } = report;
  printJson({
    ...rest,
    expected: { ...expected },
    rows: rows.map((row) => ({ ...row })),
    findings: findings.map((finding) => ({ ...finding })),
  });
}

async function readCertificates(file: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch {
    throw new CommandError(`The certificates in ${file} cannot be read.`);
  }
}
