/**
 * The whole matrix on the Mailbox, which has every kind of RPC and a claim in
 * every place, on both paths that unary gRPC and gRPC-web calls can take.
 */
import { type AttackReport, attackTests, formatReport } from "countersign/testing";
import { afterAll, describe, expect, it } from "vitest";
import { mailboxPolicy, serveMailbox, token } from "../serve/mailbox-server.ts";

const opened = new AsyncDisposableStack();
afterAll(() => opened.disposeAsync());

const reports: AttackReport[] = [];

for (const leanPath of [true, false]) {
  attackTests(
    { describe, it, afterAll },
    {
      name: `the Mailbox under attack, ${leanPath ? "on the lean path" : "through connect alone"}`,
      policies: [mailboxPolicy],
      target: async () => {
        const { server, log } = opened.use(await serveMailbox({ leanPath }));
        return {
          url: server.url,
          breadth: process.env.ATTACK_BREADTH === "all" ? "all" : "pairs",
          countHandlerRuns: () => log.began.length,
          credentials: { session: { live: { presented: token, claims: { mailboxId: 7n } } } },
        };
      },
      onReport: (report) => reports.push(report),
    },
  );
}

it("has spoken every protocol, and left nothing out", () => {
  expect(reports).toHaveLength(2);
  for (const report of reports) {
    expect(report).toMatchObject({ findings: [], notSpoken: [], skipped: 0 });
    expect(report.calls).toBeGreaterThan(2_000);
    expect(report.expected.denial).toBe(347);
    console.log(formatReport(report));
  }
});
