import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  framed,
  openSession,
  openSessionJson,
  type PairedRequest,
  type ServerPair,
  sendLetter,
  serveBothPaths,
} from "./both-paths.ts";

const grpc = { "content-type": "application/grpc", te: "trailers" };
const web = { "content-type": "application/grpc-web+proto" };
const credential = { "mailbox-session": "letmein" };
const protocols = [
  ["gRPC", grpc],
  ["gRPC-web", web],
] as const;

const limits = {
  bodyTimeoutMs: 30_000,
  writeMaxBytes: 50_000,
};

/** What the same request came to, which must be the same. */
async function same(pair: ServerPair, request: PairedRequest) {
  const { lean, connect } = await pair.ask(request);
  expect(lean).toEqual(connect);
  return lean;
}

let plain: ServerPair;
let intercepted: ServerPair;
beforeAll(async () => {
  plain = await serveBothPaths({ limits });
  intercepted = await serveBothPaths({ limits, intercepts: true });
});
afterAll(async () => {
  await plain[Symbol.asyncDispose]();
  await intercepted[Symbol.asyncDispose]();
});

const deeds = [
  "anything",
  "",
  "ünïcödé",
  "error",
  "undefined",
  "rejected undefined",
  "not found",
  "empty text",
  "half a character",
  "details",
  "metadata of the protocol",
  "later error",
  "headers",
  "content type",
  "forbidden header",
  "forbidden trailer",
  "long trailer",
  "large",
  "too large",
  "later",
  "no string",
  "context",
  "after the end",
];

describe.each([
  ["without interceptors", () => plain],
  ["with interceptors", () => intercepted],
])("%s: what a handler does has the same effect on both paths", (_, pair) => {
  describe.each([
    ["gRPC", { "content-type": "application/grpc" }, openSession],
    ["gRPC, +proto", { "content-type": "application/grpc+proto" }, openSession],
    ["gRPC in JSON", { "content-type": "application/grpc+json; charset=utf-8" }, openSessionJson],
    [
      "gRPC that takes gzip",
      { ...grpc, "grpc-accept-encoding": "identity, deflate, gzip" },
      openSession,
    ],
    ["gRPC that takes br", { ...grpc, "grpc-accept-encoding": "br,gzip" }, openSession],
    ["gRPC-web", web, openSession],
    ["gRPC-web in JSON", { "content-type": "application/grpc-web+json" }, openSessionJson],
    ["gRPC-web that takes gzip", { ...web, "grpc-accept-encoding": "gzip" }, openSession],
    ["gRPC with gzip", { ...grpc, "grpc-encoding": "gzip" }, openSession],
  ])("%s", (_name, headers, message) => {
    it.each(deeds)("%s", async (deed) => {
      const request = { rpc: "OpenSession", headers, body: [framed(message(deed))] };
      const { notes } = await same(pair(), request);
      expect(notes.at(-1)).toBeDefined();
    });
  });
});

describe.each(protocols)(
  "%s: a request that is odd is answered alike on both paths",
  (_, headers) => {
    const good = framed(openSession("fine"));
    const bad = framed(Buffer.from([0xff, 0xff]));
    const tooLarge = Buffer.from([0, 0, 1, 0, 1]);
    it.each<[name: string, body: readonly Uint8Array[], more?: Readonly<Record<string, string>>]>([
      ["one message", [good]],
      ["one message, byte by byte", [...good].map((byte) => Buffer.from([byte]))],
      ["one message in two pieces", [good.subarray(0, 5), good.subarray(5)]],
      ["no message", []],
      ["nothing but a piece of a prefix", [good.subarray(0, 3)]],
      ["nothing but a prefix", [good.subarray(0, 5)]],
      ["half a message", [good.subarray(0, 8)]],
      ["two messages", [good, good]],
      ["two messages in one piece", [Buffer.concat([good, good])]],
      ["a message and a piece of a prefix", [Buffer.concat([good, good.subarray(0, 2)])]],
      ["a message and a prefix", [Buffer.concat([good, good.subarray(0, 5)])]],
      ["a message and a prefix, in two pieces", [good, good.subarray(0, 5)]],
      ["a message and half of another", [good, good.subarray(0, 7)]],
      ["an empty message", [framed(Buffer.alloc(0))]],
      ["two empty messages", [framed(Buffer.alloc(0)), framed(Buffer.alloc(0))]],
      ["what does not decode", [bad]],
      ["what does not decode, and a message", [bad, good]],
      ["a message, and what does not decode", [good, bad]],
      ["a message that announces too much", [tooLarge]],
      ["a message that announces too much, and some of it", [tooLarge, Buffer.alloc(1000)]],
      ["one that does not decode and one too large in one piece", [Buffer.concat([bad, tooLarge])]],
      ["a message, and one that announces too much", [good, tooLarge]],
      ["a message of 4 GiB", [Buffer.from([0, 255, 255, 255, 255])]],
      ["the largest message", [framed(openSession("x".repeat(65_536 - 4)))]],
      ["a compressed message without an encoding", [framed(openSession("fine"), 1)]],
      ["a message with unknown flags", [framed(openSession("fine"), 0x42)]],
      ["a message with the flag of trailers", [framed(openSession("fine"), 0x80)]],
      ["a message and a frame of trailers", [good, framed(Buffer.from("a: b\r\n"), 0x80)]],
      ["compressed trailers", [good, framed(Buffer.from("a: b\r\n"), 0x81)]],
      ["an unknown encoding", [good], { "grpc-encoding": "zstd" }],
      ["encoding identity", [good], { "grpc-encoding": "identity" }],
      [
        "encoding identity, and a compressed flag",
        [framed(openSession("fine"), 1)],
        { "grpc-encoding": "identity" },
      ],
      ["gzip", [framed(gzipSync(openSession("fine")), 1)], { "grpc-encoding": "gzip" }],
      ["gzip that is none", [framed(openSession("fine"), 1)], { "grpc-encoding": "gzip" }],
      ["an empty list of encodings", [good], { "grpc-accept-encoding": "" }],
      ["an unknown list of encodings", [good], { "grpc-accept-encoding": "zstd, lz4" }],
      ["a deadline", [framed(openSession("context"))], { "grpc-timeout": "10S" }],
      ["a deadline that has passed", [framed(openSession("deadline"))], { "grpc-timeout": "0m" }],
      ["a deadline that passes", [framed(openSession("deadline"))], { "grpc-timeout": "20m" }],
      ["a deadline that is none", [good], { "grpc-timeout": "soon" }],
      ["a deadline that is none, and what does not decode", [bad], { "grpc-timeout": "1x" }],
      ["a deadline of nine digits", [good], { "grpc-timeout": "123456789S" }],
      ["headers of its own", [framed(openSession("context"))], { "x-own": "1", "x-bin": "AAE=" }],
      [
        "a query",
        [framed(openSession("context"))],
        { ":path": "/countersign.example.v1.Mailbox/OpenSession?a=b" },
      ],
      ["an escaped path", [good], { ":path": "/countersign.example.v1.Mailbox/Open%53ession" }],
      [
        "an authority with a port",
        [framed(openSession("context"))],
        { ":authority": "MailBox.test:80" },
      ],
      ["an authority that is none", [good], { ":authority": "a b" }],
      ["another spelling of its type", [good], { "content-type": "Application/GRPC" }],
      ["a type that is none", [good], { "content-type": "application/grpc+xml" }],
    ])("%s", async (_name, body, more) => {
      const request = { rpc: "OpenSession", headers: { ...headers, ...more }, body };
      await same(plain, request);
      await same(intercepted, request);
    });
  },
);

describe.each(protocols)("%s: what the guard does is the same on both paths", (_, headers) => {
  const letter = [framed(sendLetter("context"))];
  it.each<[name: string, more: PairedRequest["headers"], body?: readonly Uint8Array[]]>([
    ["the right credential", credential],
    ["a verifier that takes its time", { "mailbox-session": "slow" }],
    ["none", {}],
    ["an empty one", { "mailbox-session": "" }],
    ["a wrong one", { "mailbox-session": "wrong" }],
    ["one with a blank", { "mailbox-session": "let me in" }],
    ["one whose verifier throws", { "mailbox-session": "throws" }],
    ["a refused call with a bad deadline", { "grpc-timeout": "soon" }],
    ["a refused call with a bad encoding", { "grpc-encoding": "zstd" }],
    ["a refused call that takes gzip", { "grpc-accept-encoding": "gzip" }],
    ["another's mailbox", credential, [framed(sendLetter("context", 8n))]],
    ["the caller's mailbox", credential, [framed(sendLetter("context", 7n))]],
    ["the session in the message", credential, [framed(sendLetter("context", 7n, "letmein"))]],
    ["another session in the message", credential, [framed(sendLetter("context", 7n, "wrong"))]],
    ["a passed deadline and a slow verifier", { "mailbox-session": "slow", "grpc-timeout": "0m" }],
  ])("%s", async (_name, more, body = letter) => {
    const request = { rpc: "SendLetter", headers: { ...headers, ...more }, body };
    await same(plain, request);
    await same(intercepted, request);
  });

  it.each(["CountLetters", "NoSuchMethod", "WatchLetters", "ImportLetters", "Converse"])(
    "other RPCs: %s",
    async (rpc) => {
      for (const more of [{}, credential]) {
        await same(plain, {
          rpc,
          headers: { ...headers, ...more },
          body: [framed(Buffer.alloc(0))],
        });
      }
    },
  );
});

it("never shows a secret to handlers or interceptors, on either path", async () => {
  for (const pair of [plain, intercepted]) {
    for (const headers of [grpc, web]) {
      const body = [framed(sendLetter("context", 7n, "letmein"))];
      const { notes } = await same(pair, {
        rpc: "SendLetter",
        headers: { ...headers, ...credential },
        body,
      });
      expect(notes.join()).toContain("handler context");
      expect(notes.join()).not.toContain("letmein");
    }
  }
});

describe("gRPC-web over HTTP/1.1 is answered alike on both paths", () => {
  const request = (headers: string, body: Buffer) =>
    "POST /countersign.example.v1.Mailbox/OpenSession HTTP/1.1\r\nHost: mailbox.test\r\n" +
    `Content-Type: application/grpc-web+proto\r\nConnection: close\r\n${headers}\r\n${body.toString("latin1")}`;
  const sized = (body: Buffer, more = "") =>
    request(`Content-Length: ${body.length}\r\n${more}`, body);
  it.each([
    ...deeds.map((deed): [string, string] => [deed, sized(framed(openSession(deed)))]),
    ["no message", sized(Buffer.alloc(0))],
    ["two messages", sized(Buffer.concat([framed(openSession("a")), framed(openSession("b"))]))],
    ["half a message", sized(framed(openSession("fine")).subarray(0, 7))],
    ["too much announced", sized(Buffer.from([0, 1, 0, 0, 0]))],
    [
      "chunked",
      request(
        "Transfer-Encoding: chunked\r\n",
        Buffer.concat([
          Buffer.from("b\r\n"),
          framed(openSession("fine")),
          Buffer.from("\r\n0\r\n\r\n"),
        ]),
      ),
    ],
    ["a deadline that is none", sized(framed(openSession("fine")), "grpc-timeout: soon\r\n")],
    ["a header twice", sized(framed(openSession("context")), "X-Twice: a\r\nx-twice: b\r\n")],
    [
      "its type twice",
      sized(framed(openSession("fine")), "content-type: application/grpc-web\r\n"),
    ],
  ])("%s", async (_name, text) => {
    for (const pair of [plain, intercepted]) {
      const { lean, connect } = await pair.askOverHttp1(text);
      expect(withoutChunks(lean.answer)).toEqual(withoutChunks(connect.answer));
      expect([lean.notes, lean.counters]).toEqual([connect.notes, connect.counters]);
    }
  });
});

/** An HTTP/1.1 answer with its chunks joined: how a body is cut into chunks says nothing. */
function withoutChunks(answer: unknown): string {
  const text = String(answer);
  const bodyAt = text.indexOf("\r\n\r\n") + 4;
  if (!/^transfer-encoding: chunked/im.test(text.slice(0, bodyAt))) {
    return text;
  }
  let body = "";
  for (let at = bodyAt; at < text.length; ) {
    const lineEnd = text.indexOf("\r\n", at);
    const size = Number.parseInt(text.slice(at, lineEnd), 16);
    if (Number.isNaN(size) || size === 0) {
      break;
    }
    body += text.slice(lineEnd + 2, lineEnd + 2 + size);
    at = lineEnd + 2 + size + 2;
  }
  return text.slice(0, bodyAt) + body;
}

it("answers any frames alike on both paths", { timeout: 60_000 }, async () => {
  const message = fc.oneof(
    fc.constantFrom(...deeds).map(openSession),
    fc.uint8Array({ maxLength: 40 }),
  );
  const frame = fc
    .tuple(message, fc.oneof({ weight: 6, arbitrary: fc.constant(0) }, fc.nat(255)))
    .map(([data, flags]) => framed(data, flags));
  const piece = fc.oneof(
    { weight: 5, arbitrary: frame },
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 12 }).map((bytes) => Buffer.from(bytes)) },
  );
  const cuts = fc.array(fc.nat(60), { maxLength: 4 });
  await fc.assert(
    fc.asyncProperty(
      fc.array(piece, { maxLength: 3 }),
      cuts,
      fc.constantFrom<PairedRequest["headers"]>(grpc, web, {
        ...grpc,
        "grpc-accept-encoding": "gzip",
      }),
      async (pieces, at, headers) => {
        const body = cut(Buffer.concat(pieces), at);
        await same(plain, { rpc: "OpenSession", headers, body });
      },
    ),
    { numRuns: 150 },
  );
});

/** Cuts bytes at places. */
function cut(bytes: Buffer, places: readonly number[]): Buffer[] {
  const sorted = [...new Set([0, ...places.filter((at) => at < bytes.length)])].sort(
    (a, b) => a - b,
  );
  return sorted
    .map((at, i) => bytes.subarray(at, sorted[i + 1] ?? bytes.length))
    .filter((part) => part.length > 0);
}
