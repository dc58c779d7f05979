import { connect } from "node:net";
import { definePolicy, open, parseToken, requires } from "countersign";
import { healthPolicy } from "countersign/serve";
import { assertNoFindings, attack, formatReport } from "countersign/testing";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Mailbox } from "../../gen/countersign/example/v1/mailbox_pb.ts";
import { columns, misfitOf } from "../../src/testing/columns.ts";
import { credentialCases } from "../../src/testing/credential-cases.ts";
import { foreignRequests } from "../../src/testing/foreign-claims.ts";
import { signature } from "../client/mailbox.ts";
import {
  type MailboxServer,
  mailboxPolicy,
  serveMailbox,
  session,
  token,
} from "../serve/mailbox-server.ts";
import { withOpenRpc } from "./bad-servers.ts";

const live = { presented: token, claims: { mailboxId: 7n } };

let mailbox: MailboxServer;
beforeAll(async () => {
  mailbox = await serveMailbox();
});
afterAll(() => mailbox[Symbol.asyncDispose]());

describe("what an attack refuses to do", () => {
  it.each([
    ["http://192.0.2.1:9091", "which is not this machine"],
    ["http://localhost.example:9091", "which is not this machine"],
    ["https://user:secret@127.0.0.1", '"url" must not carry a user or a password'],
    ["ftp://127.0.0.1", '"url" must be an http: or https: URL'],
  ])("%s", async (url, message) => {
    await expect(attack({ url, policies: [mailboxPolicy] })).rejects.toThrow(message);
  });

  it.each([
    [{ policies: [] }, '"policies" must have at least one policy'],
    [{ policies: [mailboxPolicy, mailboxPolicy] }, "two policies of one service"],
    [{ credentials: { key: {} } }, '"credentials" names "key", which no policy requires'],
    [{ limits: { maxCalls: Number.NaN } }, '"limits.maxCalls" must be a positive integer'],
    [
      { credentials: { session: { live: { presented: token, claims: {} } } } },
      '"claims" of credential "session" must have "mailboxId"',
    ],
  ])("%o", async (options, message) => {
    const { url } = mailbox.server;
    await expect(attack({ url, policies: [mailboxPolicy], ...options })).rejects.toThrow(message);
  });

  it("to go on beyond its limits: it says so, and that counts as a failure", async () => {
    const { url } = mailbox.server;
    const report = await attack({ url, policies: [mailboxPolicy], limits: { maxCalls: 10 } });
    expect(report).toMatchObject({ calls: 10, incomplete: "the limit of 10 calls", findings: [] });
    expect(() => assertNoFindings(report)).toThrow(
      "the attack was not finished: the limit of 10 calls",
    );
  });

  it("to take a server that does not answer for one that refuses", async () => {
    await expect(attack({ url: "http://127.0.0.1:1", policies: [mailboxPolicy] })).rejects.toThrow(
      "http://127.0.0.1:1 answers in none of the protocols",
    );
  });
});

it("attacks a server of open RPCs alone", async () => {
  const { url } = mailbox.server;
  const report = await attack({ url, policies: [healthPolicy] });
  assertNoFindings(report);
  expect(report.rows.map(({ rpc, rule }) => [rpc, rule])).toEqual([
    ["unknown RPCs", "none"],
    ["Check", "open"],
    ["Watch", "open"],
  ]);
});

it("tells progress, call by call, up to what it said it would be", async () => {
  const seen: number[] = [];
  let total = 0;
  const report = await attack({
    url: mailbox.server.url,
    policies: [mailboxPolicy],
    protocols: ["gRPC"],
    onProgress: ({ calls, totalCalls }) => {
      seen.push(calls);
      total = totalCalls;
    },
  });
  expect(seen).toEqual(Array.from({ length: report.calls + 1 }, (_, i) => i));
  expect(total).toBe(report.calls);
});

it("names no secret that it presented, whatever a server sends back", async () => {
  await using bad = await withOpenRpc();
  const secret = "a-secret-of-the-tests";
  const echoed = await attack({
    url: bad.url,
    policies: [mailboxPolicy],
    protocols: ["gRPC"],
    credentials: {
      session: { live: { ...live, presented: secret }, refused: { expired: `${secret}-old` } },
    },
    refusal: { code: "unauthenticated", text: `wrong: ${secret}` },
    limits: { silenceMs: 250 },
  });
  expect(echoed.findings.length).toBeGreaterThan(100);
  expect(JSON.stringify(echoed)).not.toContain(secret);
  expect(formatReport(echoed)).toContain("expected    unauthenticated: wrong: (secret)");
  // The server is none the worse for it.
  await new Promise((resolve) => {
    const socket = connect(Number(new URL(bad.url).port), "127.0.0.1", () => resolve(socket.end()));
  });
});

describe("what is derived", () => {
  it("names another's in every place that a credential binds", () => {
    const paths = (name: keyof typeof Mailbox.method) =>
      foreignRequests(Mailbox.method[name], session, live).map(({ path }) => path);
    expect(paths("countLetters")).toEqual(["mailbox_id"]);
    expect(paths("watchLetters")).toEqual(["mailbox_id", "mailbox_id = 0"]);
    expect(paths("importLetters")).toEqual([
      "mailbox_id",
      "letter.from.mailbox_id",
      "letter.from.copies[].mailbox_id",
      "letter.mailbox_id",
      "letter.mailbox_id = 0",
      "letter.answers[].from.mailbox_id",
      "letter.answers[].from.copies[].mailbox_id",
      "letter.answers[].mailbox_id",
      "letter.answers[].mailbox_id = 0",
    ]);
    expect(paths("sendLetter")).toHaveLength(18);
  });

  it("puts what is another's second, after the caller's own", () => {
    const [, , copies] = foreignRequests(Mailbox.method.importLetters, session, live);
    expect(copies?.message).toMatchObject({
      letter: { from: { copies: [{ mailboxId: 7n }, { mailboxId: expect.any(BigInt) }] } },
    });
  });

  it("presents a signature in every hostile way, header by header", async () => {
    const names = credentialCases([signature], {}).map(({ name }) => name);
    expect(names).toEqual([
      "no header",
      "without mailbox-key-bin",
      "without mailbox-time",
      "an empty value",
      "a blank value",
      "the same twice",
      "two different ones",
      "two joined with a comma",
      "under the -bin name",
      "in the wrong case",
      "4 KB of garbage",
      "an unknown one",
    ]);
    expect(credentialCases([session, signature], {}).at(-1)?.name).toBe("all credentials at once");
  });

  it("knows which ways of speaking an RPC has, and why it has no others", () => {
    const fitting = (name: keyof typeof Mailbox.method) =>
      columns.filter((column) => misfitOf(Mailbox.method[name], column) === undefined).length;
    expect(columns).toHaveLength(14);
    expect([fitting("countLetters"), fitting("sendLetter"), fitting("watchLetters")]).toEqual([
      9, 7, 7,
    ]);
    expect([fitting("importLetters"), fitting("converse")]).toEqual([7, 4]);
  });

  it("leaves the claims of an unbound rule alone", async () => {
    const policy = definePolicy(Mailbox, {
      ...mailboxPolicy.rules,
      getBulletin: open,
      countLetters: requires(session, { unbound: "a mailbox may count another's letters" }),
    });
    const report = await attack({
      url: mailbox.server.url,
      policies: [policy],
      protocols: ["gRPC"],
      credentials: { session: { live: { ...live, presented: parseToken(token) } } },
    });
    assertNoFindings(report);
    expect(report.expected.denial).toBe(56);
  });
});
