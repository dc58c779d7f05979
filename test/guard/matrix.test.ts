/**
 * Every protocol, every kind of RPC, every hostile credential, through a real
 * server on real sockets, with tokens of a real authority: one refusal for all.
 */
import { type ClientHttp2Session, connect } from "node:http2";
import { type Authority, createAuthority, openSqlite } from "countersign/authority";
import { type Server, serve } from "countersign/serve";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Handled, mailboxService } from "./mailbox-service.ts";
import {
  callHttp1,
  callHttp2,
  type HeaderEntries,
  type HttpVersion,
  type Kind,
  outcomeOf,
  type Protocol,
  type RawAnswer,
  requestOf,
  rpcOf,
} from "./raw-call.ts";

const protocols: Protocol[] = ["gRPC", "gRPC-web", "Connect binary", "Connect JSON", "Connect GET"];
const kinds = Object.keys(rpcOf) as Kind[];
const versions: HttpVersion[] = ["HTTP/1.1", "HTTP/2"];
const header = "mailbox-session";

let clock = Date.UTC(2026, 0, 1);
let authority: Authority;
let server: Server;
let session: ClientHttp2Session;
let handled: Handled[];
const token = { right: "", expired: "", revoked: "" };

/** What a caller presents; all but the last are refused. */
const credentials: [string, () => HeaderEntries][] = [
  ["no header", () => []],
  ["an empty value", () => [[header, ""]]],
  ["a blank value", () => [[header, "   "]]],
  [
    "the right token twice",
    () => [
      [header, token.right],
      [header, token.right],
    ],
  ],
  [
    "the right token and another",
    () => [
      [header, token.right],
      [header, "0".repeat(256)],
    ],
  ],
  ["the right token joined with a comma", () => [[header, `${token.right}, ${token.right}`]]],
  [
    "the right token in the -bin variant",
    () => [[`${header}-bin`, Buffer.from(token.right).toString("base64")]],
  ],
  ["the right token in the wrong case", () => [[header, token.right.toUpperCase()]]],
  ["4 KB of garbage", () => [[header, "~!".repeat(2048)]]],
  ["an unknown token", () => [[header, "0".repeat(256)]]],
  ["an expired token", () => [[header, token.expired]]],
  ["a revoked token", () => [[header, token.revoked]]],
  ["the right token", () => [[header, token.right]]],
];

/** Why a protocol cannot carry a kind of RPC on a version of HTTP; undefined if it can. */
function impossible(protocol: Protocol, kind: Kind, version: HttpVersion): string | undefined {
  if (protocol === "gRPC" && version === "HTTP/1.1") {
    return "gRPC is defined on HTTP/2 only";
  }
  if (protocol === "Connect GET" && kind !== "unary") {
    return "Connect serves unary RPCs alone as GET";
  }
  if (kind === "bidi_streaming" && version === "HTTP/1.1") {
    return "HTTP/1.1 cannot send and receive at once";
  }
  return undefined;
}

const all = protocols.flatMap((protocol) =>
  kinds.flatMap((kind) => versions.map((version) => ({ protocol, kind, version }))),
);
const columns = all.filter((one) => impossible(one.protocol, one.kind, one.version) === undefined);

beforeAll(async () => {
  const database = await openSqlite({ path: ":memory:" });
  authority = await createAuthority({ database, now: () => clock });
  token.expired = (await authority.issue(5n)) ?? "";
  clock += 31_000;
  token.revoked = (await authority.issue(6n)) ?? "";
  await authority.revoke(6n);
  token.right = (await authority.issue(7n)) ?? "";
  const { mailbox, handled: list } = mailboxService();
  handled = list;
  server = await serve({
    port: 0,
    services: [mailbox],
    verifiers: {
      session: async (presented) => {
        const claims = await authority.verify(presented);
        return claims !== undefined && "runId" in claims ? { mailboxId: claims.runId } : claims;
      },
    },
  });
  session = connect(server.url);
});

afterAll(async () => {
  session.close();
  await server.close();
});

const ran = { refused: 0, allowed: 0 };

describe.each(columns)("$protocol, $kind, on $version", ({ protocol, kind, version }) => {
  const refusals: RawAnswer[] = [];

  it.each(credentials)("%s", async (name, credential) => {
    const isRight = name === "the right token";
    const request = requestOf(protocol, kind, credential(), isRight);
    const before = handled.length;
    const answer =
      version === "HTTP/2"
        ? await callHttp2(session, request)
        : await callHttp1(server.port, request);
    const outcome = outcomeOf(protocol, kind, answer);
    if (isRight) {
      expect(outcome).toEqual({ code: "ok", message: "" });
      expect(handled.slice(before)).toEqual([{ rpc: localName(kind), mailboxId: 7n }]);
      ran.allowed++;
    } else {
      expect(outcome).toEqual({ code: "unauthenticated", message: "Authentication failed." });
      expect(handled).toHaveLength(before);
      refusals.push(answer);
      ran.refused++;
    }
  });

  it("answers all refusals with the same bytes", () => {
    expect(refusals).toHaveLength(credentials.length - 1);
    for (const refusal of refusals) {
      expect(refusal).toEqual(refusals[0]);
    }
  });
});

function localName(kind: Kind): string {
  const name = rpcOf[kind];
  return name.charAt(0).toLowerCase() + name.slice(1);
}

it("has run every cell that is possible", () => {
  expect(ran).toEqual({
    refused: columns.length * (credentials.length - 1),
    allowed: columns.length,
  });
  const reasons = new Map<string, number>();
  for (const { protocol, kind, version } of all) {
    const reason = impossible(protocol, kind, version);
    if (reason !== undefined) {
      reasons.set(reason, (reasons.get(reason) ?? 0) + credentials.length);
    }
  }
  const cells = all.length * credentials.length;
  const lines = [...reasons].map(([reason, count]) => `  ${count} impossible: ${reason}`);
  console.log(
    [
      `matrix: ${cells} cells = ${protocols.length} protocols x ${kinds.length} kinds x ${versions.length} versions of HTTP x ${credentials.length} credentials`,
      `  ${ran.refused} refused, ${ran.allowed} allowed`,
      ...lines,
    ].join("\n"),
  );
});
