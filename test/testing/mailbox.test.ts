/** The whole matrix on the Mailbox, which has every kind of RPC and a claim in every place. */

import { type AttackReport, attackTests, formatReport } from "countersign/testing";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type MailboxServer, mailboxPolicy, serveMailbox, token } from "../serve/mailbox-server.ts";

let mailbox: MailboxServer;
beforeAll(async () => {
  mailbox = await serveMailbox();
});
afterAll(() => mailbox[Symbol.asyncDispose]());

const reports: AttackReport[] = [];

attackTests(
  { describe, it, afterAll },
  {
    name: "the Mailbox under attack",
    policies: [mailboxPolicy],
    target: () => ({
      url: mailbox.server.url,
      breadth: process.env.ATTACK_BREADTH === "all" ? "all" : "pairs",
      countHandlerRuns: () => mailbox.log.began.length,
      credentials: { session: { live: { presented: token, claims: { mailboxId: 7n } } } },
    }),
    onReport: (report) => reports.push(report),
  },
);

it("has spoken every protocol, and left nothing out", () => {
  const [report] = reports;
  expect(report).toMatchObject({ findings: [], notSpoken: [], skipped: 0, incomplete: undefined });
  expect(report?.calls).toBeGreaterThan(2_000);
  expect(report?.expected.denial).toBe(347);
  console.log(report === undefined ? "" : formatReport(report));
});
