/**
 * While a verifier's store is down, a caller learns no more of which RPCs exist
 * than while it is up: every RPC that refuses it answers as an unknown one does.
 */

import type { ClientHttp2Session } from "node:http2";
import {
  anyOf,
  credential,
  definePolicy,
  open,
  requires,
  service,
  storeUnavailable,
  unimplemented,
} from "countersign";
import { type Server, serve } from "countersign/serve";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { Mailbox } from "../../gen/countersign/example/v1/mailbox_pb.ts";
import { http1Request, http2Request, openHttp2, sendBytes, withoutDate } from "./raw-http.ts";
import { post, protocolShapes, type RpcShape } from "./rpc-shapes.ts";

/** Answers at once, or says at once that its store is down. */
const session = credential("session", { header: "mailbox-session", claims: {} });
/** Answers later. */
const visitor = credential("visitor", { header: "visitor-token", claims: {} });
/** Counts once: verifying spends it. */
const signature = credential("signature", {
  headers: ["mailbox-key-bin", "mailbox-nonce"],
  claims: {},
});
/** Shares its headers with the signature, and has no store. */
const key = credential("key", { headers: ["mailbox-key-bin", "mailbox-nonce"], claims: {} });

const policy = definePolicy(Mailbox, {
  getBulletin: open,
  openSession: requires(key),
  countLetters: requires(session),
  sendLetter: anyOf([session, visitor]),
  watchLetters: requires(visitor),
  importLetters: requires(signature),
  converse: anyOf([session, signature]),
});

type StoreName = "session" | "visitor" | "signature";
type CredentialName = StoreName | "key";

/** Which credentials each RPC wants. */
const wanted: Readonly<Record<string, readonly CredentialName[]>> = {
  OpenSession: ["key"],
  CountLetters: ["session"],
  SendLetter: ["session", "visitor"],
  WatchLetters: ["visitor"],
  ImportLetters: ["signature"],
  Converse: ["session", "signature"],
};
const prefix = `/${Mailbox.typeName}`;
const unknownPaths = [`${prefix}/NoSuchMethod`, "/no.such.Service/Method", "/"];

const down = new Set<StoreName>();
const spent = new Set<string>();
const nothing = unimplemented;

let server: Server;
let connection: ClientHttp2Session;
beforeAll(async () => {
  server = await serve({
    services: [
      service(policy, {
        ...{ getBulletin: nothing, openSession: nothing, countLetters: nothing },
        ...{ sendLetter: nothing, watchLetters: nothing, importLetters: nothing },
        converse: nothing,
      }),
    ],
    verifiers: {
      session: (token) =>
        down.has("session") ? storeUnavailable() : token === "good" ? {} : undefined,
      visitor: async (token) =>
        down.has("visitor") ? storeUnavailable() : token === "good" ? {} : undefined,
      signature: async ({ "mailbox-nonce": nonce }, { isProbe }) => {
        if (down.has("signature")) {
          return storeUnavailable();
        }
        if (!nonce.startsWith("good") || spent.has(nonce)) {
          return undefined;
        }
        if (!isProbe) {
          spent.add(nonce);
        }
        return {};
      },
      key: () => undefined,
    },
    port: 0,
  });
  connection = openHttp2(server.url);
});
afterAll(async () => {
  connection.destroy();
  await server.close({ graceMs: 1 });
});
beforeEach(() => {
  down.clear();
  spent.clear();
});

interface Column {
  readonly name: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Credentials of which something well-formed is presented. */
  readonly presented: readonly CredentialName[];
  /** Those that are good. */
  readonly good: readonly CredentialName[];
}

const column = (
  name: string,
  headers: Readonly<Record<string, string>>,
  presented: readonly CredentialName[] = [],
  good: readonly CredentialName[] = [],
): Column => ({ name, headers, presented, good });

const columns: readonly Column[] = [
  column("nothing", {}),
  column("a malformed session", { "mailbox-session": "a, b" }),
  column("an empty session", { "mailbox-session": "" }),
  column("an unknown session", { "mailbox-session": "bad" }, ["session"]),
  column("a good session", { "mailbox-session": "good" }, ["session"], ["session"]),
  column("an unknown visitor", { "visitor-token": "bad" }, ["visitor"]),
  column("a good visitor", { "visitor-token": "good" }, ["visitor"], ["visitor"]),
  column("half a signature", { "mailbox-nonce": "good" }),
  column("a wrong signature", { "mailbox-key-bin": "AAAA", "mailbox-nonce": "bad" }, [
    "signature",
    "key",
  ]),
  column("an unknown session and visitor", { "mailbox-session": "bad", "visitor-token": "bad" }, [
    "session",
    "visitor",
  ]),
  column(
    "a malformed session and an unknown visitor",
    { "mailbox-session": "a b", "visitor-token": "bad" },
    ["visitor"],
  ),
];

const outages: readonly (readonly StoreName[])[] = [
  [],
  ["session"],
  ["visitor"],
  ["signature"],
  ["session", "visitor", "signature"],
];

/** Whether an RPC lets a caller in: it presents exactly one of what is wanted, and that is good. */
function isAllowed(rpc: string, { presented, good }: Column): boolean {
  const shown = presented.filter((name) => wanted[rpc]?.includes(name));
  const [only] = shown;
  return (
    shown.length === 1 &&
    only !== undefined &&
    good.includes(only) &&
    !(only !== "key" && down.has(only))
  );
}

async function answer(
  version: "HTTP/1.1" | "HTTP/2",
  shape: RpcShape,
  path: string,
  headers: Readonly<Record<string, string>>,
): Promise<string> {
  const target = path + (shape.query ?? "");
  const all = { ...shape.headers, ...headers };
  if (version === "HTTP/1.1") {
    return withoutDate(await sendBytes(server.port, http1Request(shape.method, target, all)));
  }
  const pseudo = { ":method": shape.method, ":path": target };
  return JSON.stringify(await http2Request(connection, { ...pseudo, ...all }));
}

describe.each(["HTTP/1.1", "HTTP/2"] as const)("over %s", (version) => {
  describe.each(protocolShapes)("$name", (shape) => {
    it.each(columns)("refuses $name with the same bytes on every path", async (one) => {
      for (const stores of outages) {
        down.clear();
        for (const store of stores) {
          down.add(store);
        }
        const refusing = Object.keys(wanted).filter((rpc) => !isAllowed(rpc, one));
        const paths = [...refusing.map((rpc) => `${prefix}/${rpc}`), ...unknownPaths];
        const answers = await Promise.all(
          paths.map((path) => answer(version, shape, path, one.headers)),
        );
        const described = `${one.name} while ${stores.join()} is down`;
        expect(new Set(answers).size, `${described}:\n${answers.join("\n---\n")}`).toBe(1);
        const isOutage = one.presented.some((name) => name !== "key" && down.has(name));
        expect(answers[0], described).toMatch(
          isOutage
            ? /The(?: |%20)credential(?: |%20)cannot(?: |%20)be(?: |%20)verified/
            : /Authentication(?: |%20)failed\./,
        );
      }
    });
  });
});

it("a signature is spent by no call that does not want it", async () => {
  const headers = { "mailbox-key-bin": "AAAA", "mailbox-nonce": "good-1" };
  const ask = (path: string) => answer("HTTP/2", post("application/grpc"), path, headers);
  for (const path of [`${prefix}/CountLetters`, `${prefix}/WatchLetters`, ...unknownPaths]) {
    expect(await ask(path)).toContain("Authentication");
  }
  expect([...spent]).toEqual([]);
  expect(await ask(`${prefix}/ImportLetters`)).toContain("is%20not%20implemented");
  expect([...spent]).toEqual(["good-1"]);
  expect(await ask(`${prefix}/ImportLetters`)).toContain("Authentication");
});
