import type { Conditions } from "../conditions.ts";
import type { WorkloadResult } from "../results.ts";
import type { Spread } from "../statistics.ts";
import type { TargetOutcome } from "../targets.ts";

/** Writes the conditions, the targets and a table per workload. */
export function toMarkdown(
  conditions: Conditions,
  results: readonly WorkloadResult[],
  targets: readonly TargetOutcome[],
): string {
  const { startedAt, processor, system, versions, loadBefore } = conditions;
  return [
    `Measured on ${startedAt} UTC: ${processor}; ${system}; ${versions}; load average before: ${loadBefore.toFixed(2)}.`,
    ["### Targets", targetTable(targets)].join("\n\n"),
    ...results.map((result) => `### ${result.workload.title}\n\n${resultTable(result)}`),
  ].join("\n\n");
}

function targetTable(targets: readonly TargetOutcome[]): string {
  return table(
    ["target", "wanted", "measured", "by CPU per call", ""],
    targets.map(({ text, ratio, cpuRatio, limit, isMet }) => [
      text,
      limit.toFixed(2),
      ratio?.toFixed(2) ?? "not measured",
      cpuRatio?.toFixed(2) ?? "",
      isMet === undefined ? "" : isMet ? "met" : "**missed**",
    ]),
  );
}

function resultTable({ workload, rows }: WorkloadResult): string {
  const hasTimes = rows.some(({ p50Ms }) => p50Ms !== undefined);
  const hasCpu = rows.some(({ cpuUs }) => cpuUs !== undefined);
  const { unit } = workload;
  return table(
    [
      ...["", `${unit}, median`, "range"],
      ...(hasCpu ? [`CPU per ${unit === "messages/s" ? "message" : "call"}, us`] : []),
      ...(hasTimes ? ["p50, ms", "p99, ms"] : []),
    ],
    rows.map(({ label, value, cpuUs, p50Ms, p99Ms }) => [
      ...[label, figure(value.median), `${figure(value.low)} - ${figure(value.high)}`],
      ...(hasCpu ? [median(cpuUs)] : []),
      ...(hasTimes ? [median(p50Ms), median(p99Ms)] : []),
    ]),
  );
}

function median(spread: Spread | undefined): string {
  return spread === undefined ? "" : figure(spread.median);
}

/** A number with three digits that count, or all of them before the point. */
export function figure(value: number): string {
  const decimals = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  return value.toLocaleString("en", {
    minimumFractionDigits: decimals,
    maximumFractionDigits: decimals,
  });
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const rule = head.map((_, index) => (index === 0 ? "---" : "---:"));
  return [head, rule, ...rows].map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}
