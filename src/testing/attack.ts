import { type AttackReport, AttackRun } from "./attack-run.ts";
import { partsOf } from "./cells.ts";
import { findingText } from "./finding.ts";
import type { AttackOptions } from "./options.ts";

/**
 * Attacks a server: derives from policies every RPC x protocol x version of HTTP
 * x hostile credential x hostile request, makes those calls byte by byte, and
 * tells which did not end as they must:
 *
 * - every call of a protected RPC, and of one that does not exist, in the one refusal, before
 *   its body was looked at, and with the same bytes;
 * - a live credential with a request that names another's, in PermissionDenied;
 * - what is no RPC request, in one answer for every path.
 *
 * ```ts
 * const report = await attack({
 *   url: server.url,
 *   policies: [mailboxPolicy],
 *   credentials: { session: { live: { presented: token, claims: { mailboxId: 7n } } } },
 * });
 * assertNoFindings(report);
 * ```
 *
 * Attack servers that you operate. A server that lets one of these calls through
 * runs it: with an empty request, or with one that names something that nobody
 * is likely to have. Calls are made one after the other.
 *
 * @throws TypeError if an option is wrong, such as a host that is not loopback.
 * @throws Error if the server cannot be reached, or speaks none of the protocols.
 */
export async function attack(options: AttackOptions): Promise<AttackReport> {
  const run = new AttackRun(options);
  try {
    await run.prepare();
    for (const part of options.policies.flatMap(partsOf)) {
      await run.run(part);
    }
    return run.report();
  } finally {
    run.close();
  }
}

/** The most findings that an error repeats. */
const maxFindingsInError = 20;

/**
 * Throws if an attack has found something, or has not come to its end.
 *
 * @throws Error that tells the findings, a sentence each.
 */
export function assertNoFindings({
  findings,
  incomplete,
}: Pick<AttackReport, "findings" | "incomplete">): void {
  const left = findings.length - maxFindingsInError;
  const lines = [
    ...findings.slice(0, maxFindingsInError).map(findingText),
    ...(left > 0 ? [`and ${left} more`] : []),
    ...(incomplete === undefined ? [] : [`the attack was not finished: ${incomplete}`]),
  ];
  if (lines.length > 0) {
    throw new Error(`${findings.length} findings\n${lines.join("\n")}`);
  }
}
