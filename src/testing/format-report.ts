import type { AttackReport } from "./attack-run.ts";
import { type FindingGroup, groupFindings } from "./finding.ts";

/** The most names that a line about findings repeats. */
const maxNames = 4;

/**
 * Tells a report to people: a line per RPC, what was found, put together by kind
 * and answer, and how much was done.
 */
export function formatReport(report: AttackReport): string {
  const groups = groupFindings(report.findings);
  return [
    `attack on ${report.url}`,
    table([
      ["  RPC", "RULE", "CALLS", "FINDINGS"],
      ...report.rows.map(({ service, rpc, rule, calls, findings }) => [
        `  ${service}/${rpc}`,
        rule,
        String(calls),
        findings === 0 ? "" : String(findings),
      ]),
    ]),
    ...groups.map(formatGroup),
    summary(report),
  ].join("\n\n");
}

function formatGroup(group: FindingGroup): string {
  const { kind, count, expected, got, rpcs, columns, credentials, requests } = group;
  return [
    `${kind.toUpperCase()}, ${count} ${count === 1 ? "call" : "calls"}`,
    `  expected    ${expected}`,
    `  got         ${got}`,
    `  RPC         ${names(rpcs)}`,
    `  over        ${names(columns)}`,
    `  credential  ${names(credentials)}`,
    `  request     ${names(requests)}`,
  ].join("\n");
}

function summary(report: AttackReport): string {
  const { calls, expected, findings, notSpoken, skipped, incomplete } = report;
  return [
    `${calls} calls: ${expected.refusal} to be refused, ${expected.denial} to be denied, ` +
      `${expected["no RPC"]} that are no RPC, ${expected.failure} that cannot be read`,
    `${report.sentBodyBytes} bytes of bodies sent, at most ${report.largestUploadBytes} of an upload without end; ${report.durationMs} ms`,
    ...(notSpoken.length === 0 ? [] : [`not spoken: ${notSpoken.join("; ")}`]),
    ...(skipped === 0 ? [] : [`left out, as others like them got no answer: ${skipped}`]),
    ...(incomplete === undefined ? [] : [`NOT FINISHED: ${incomplete}`]),
    `${findings.length} findings`,
  ].join("\n");
}

function names(all: readonly string[]): string {
  const left = all.length - maxNames;
  return left > 0 ? `${all.slice(0, maxNames).join("; ")} and ${left} more` : all.join("; ");
}

/** Rows as aligned columns, two blanks apart. */
function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map((row) => row[column]?.length ?? 0)),
  );
  return rows
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}
