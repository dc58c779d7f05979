/** That the matrix finds what it looks for: each server here has one thing wrong, on purpose. */
import {
  type AttackOptions,
  type AttackReport,
  attack,
  type FindingGroup,
  groupFindings,
} from "countersign/testing";
import { describe, expect, it } from "vitest";
import { mailboxPolicy, token } from "../serve/mailbox-server.ts";
import {
  type BadServer,
  byTheFirstValue,
  onlyIfPresent,
  refusingServer,
  strictly,
  whateverTheCase,
  withATextForEachCause,
  withCheckInHandlers,
  withInterceptor,
  withOpenRpc,
  withoutBinding,
  withoutSecretField,
} from "./bad-servers.ts";

const credentials = { session: { live: { presented: token, claims: { mailboxId: 7n } } } };

async function attacked(
  bad: BadServer,
  options: Partial<AttackOptions> = {},
): Promise<{ report: AttackReport; groups: readonly FindingGroup[] }> {
  await using server = bad;
  const report = await attack({
    url: server.url,
    policies: [mailboxPolicy],
    credentials,
    protocols: ["gRPC"],
    httpVersions: ["HTTP/2"],
    countHandlerRuns: () => server.countHandlerRuns(),
    ...options,
    limits: { silenceMs: 250, maxUploadBytes: 128 * 1024, ...options.limits },
  });
  return { report, groups: groupFindings(report.findings) };
}

/** What was found of one kind: in which RPCs, with which credentials and requests. */
function found({ groups }: { groups: readonly FindingGroup[] }, kind: string) {
  const all = groups.filter((group) => group.kind === kind);
  const distinct = (of: (group: FindingGroup) => readonly string[]) => [
    ...new Set(all.flatMap(of)),
  ];
  return {
    rpcs: distinct(({ rpcs }) => rpcs).map((rpc) => rpc.split("/").at(-1)),
    credentials: distinct((group) => group.credentials),
    requests: distinct((group) => group.requests),
    got: all.map(({ got }) => got),
  };
}

const unary = ["CountLetters", "SendLetter"];

// Most of their time is spent on waiting for answers that do not come.
describe.concurrent("it finds", { timeout: 120_000 }, () => {
  it("an RPC that is open and should be protected, whoever calls", async () => {
    const result = await attacked(await withOpenRpc(), {
      limits: { silenceMs: 2_000, maxUploadBytes: 8 * 1024 * 1024 },
    });
    const accepted = found(result, "accepted");
    expect(accepted.rpcs).toEqual(["CountLetters"]);
    expect(accepted.credentials).toEqual(
      expect.arrayContaining(["no header", "an unknown one", "4 KB of garbage"]),
    );
    expect(found(result, "handler ran").rpcs).toEqual(["CountLetters"]);
    expect(found(result, "body looked at").requests).toContain("garbage body");
    // Nothing is said against the RPCs that are guarded.
    expect(new Set(result.report.findings.map(({ rpc }) => rpc))).toEqual(
      new Set(["CountLetters"]),
    );
  });

  it("a refusal whose text differs by cause", async () => {
    const result = await attacked(await withInterceptor(withATextForEachCause));
    const { got, credentials: presented } = found(result, "wrong refusal");
    expect(got).toEqual(
      expect.arrayContaining([
        "unauthenticated: Missing token.",
        "unauthenticated: Invalid token.",
      ]),
    );
    expect(presented).toContain("an unknown one");
  });

  it("a body that is decoded before the decision, and what can be told from what does not exist", async () => {
    const result = await attacked(await withInterceptor(strictly));
    expect(found(result, "body looked at").rpcs).toEqual(expect.arrayContaining(unary));
    expect(found(result, "body looked at").requests).toContain("garbage body");
    expect(found(result, "body awaited").requests).toContain("body that never comes");
    const { rpcs, got } = found(result, "wrong refusal");
    expect(rpcs).toContain("NoSuchMethod");
    expect(got).toContain("HTTP 404");
  });

  it("a refusal that waits for the body", async () => {
    const result = await attacked(await refusingServer({ awaitsBody: true }), {
      protocols: ["Connect JSON"],
    });
    expect(found(result, "body awaited").requests).toEqual([
      "body that never comes",
      "oversized announced length",
    ]);
    expect(found(result, "body read").requests).toEqual(["upload that never ends"]);
    // After two of a kind no more time is spent on it, and the report says so.
    expect(result.report.skipped).toBeGreaterThan(0);
  });

  it("an upload that is read after it was refused", async () => {
    const result = await attacked(await refusingServer({ drains: true }), {
      protocols: ["Connect JSON"],
      limits: { silenceMs: 5_000, maxUploadBytes: 1024 * 1024 },
      credentials: {},
    });
    expect(found(result, "body read").requests).toEqual(["upload that never ends"]);
    expect(result.report.largestUploadBytes).toBeGreaterThan(1024 * 1024);
    expect(new Set(result.report.findings.map(({ kind }) => kind))).toEqual(new Set(["body read"]));
  });

  it("a header more on what exists", async () => {
    const result = await attacked(await refusingServer({ tellsWhatExists: true }), {
      protocols: ["Connect JSON"],
      credentials: {},
    });
    const { rpcs, got } = found(result, "distinguishable");
    expect(rpcs).toEqual(expect.arrayContaining(["CountLetters", "Converse"]));
    expect(rpcs).not.toContain("NoSuchMethod");
    expect(got.join()).toContain("x-ratelimit-limit");
  });

  it("handlers that refuse themselves, and so run for everybody", async () => {
    const result = await attacked(await withCheckInHandlers());
    expect(found(result, "handler ran").rpcs).toEqual(expect.arrayContaining(unary));
    expect(found(result, "handler ran").credentials).toContain("no header");
  });

  it.each([
    [
      "the first of two values is taken",
      byTheFirstValue,
      ["the same twice", "two different ones", "two joined with a comma"],
    ],
    ["the case of the value does not matter", whateverTheCase, ["in the wrong case"]],
    [
      "nobody is asked who presents nothing",
      onlyIfPresent,
      ["no header", "a blank value", "under the -bin name"],
    ],
  ] as const)("that %s", async (_, check, presented) => {
    const result = await attacked(await withInterceptor(check));
    const accepted = found(result, "accepted");
    expect(accepted.rpcs).toEqual(expect.arrayContaining(unary));
    expect(accepted.credentials.filter((name) => name !== "in the body alone").sort()).toEqual(
      [...presented].sort(),
    );
  });

  it("a binding that was left out, in every place that a request has", async () => {
    const result = await attacked(await withoutBinding());
    const { rpcs, requests } = found(result, "not bound");
    expect(rpcs.sort()).toEqual([
      "Converse",
      "CountLetters",
      "ImportLetters",
      "SendLetter",
      "WatchLetters",
    ]);
    expect(requests).toEqual(
      expect.arrayContaining([
        "mailbox_id",
        "mailbox_id = 0",
        "letter.from.copies[].mailbox_id",
        "letter.answers[].mailbox_id",
        "enclosures[].from.mailbox_id",
        "mailbox_id in the second message",
      ]),
    );
  });

  it("a secret that a body may repeat and nobody compares", async () => {
    const result = await attacked(await withoutSecretField());
    expect(result.report.findings.map(({ kind, rpc, request }) => [kind, rpc, request])).toEqual(
      expect.arrayContaining([["not bound", "SendLetter", "session"]]),
    );
    expect(found(result, "not bound").requests).toEqual(["session"]);
  });

  it("a live credential that is none", async () => {
    const result = await attacked(await withOpenRpc(), {
      credentials: { session: { live: { presented: "dead", claims: { mailboxId: 7n } } } },
    });
    expect(found(result, "live credential refused").rpcs).toContain("SendLetter");
  });
});
