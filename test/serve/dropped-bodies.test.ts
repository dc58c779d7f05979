import { once } from "node:events";
import type { ClientHttp2Session } from "node:http2";
import { create, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { service, unimplemented } from "countersign";
import { type ServeLimits, serve } from "countersign/serve";
import { describe, expect, it } from "vitest";
import {
  ImportLettersRequestSchema,
  SendLetterRequestSchema,
} from "../../gen/countersign/example/v1/mailbox_pb.ts";
import { BodyClock } from "../../src/serve/body-clock.ts";
import type { Exchange } from "../../src/serve/exchange.ts";
import { resolveLimits } from "../../src/serve/limits.ts";
import { listen } from "../../src/serve/listener.ts";
import { UnsentAnswers } from "../../src/serve/unsent-answers.ts";
import { framed } from "./both-paths.ts";
import { header, mailboxPolicy } from "./mailbox-server.ts";
import { http2Request, openHttp2, sendBytes } from "./raw-http.ts";

const mebibyte = 1024 * 1024;
const mailbox = "/countersign.example.v1.Mailbox";
const sendLetter = `${mailbox}/SendLetter`;

interface Options {
  readonly leanPath: boolean;
  readonly limits: ServeLimits;
  /** Whether verifiers answer before they are let go. */
  readonly isVerified?: boolean;
}

/** Serves SendLetter and ImportLetters. Verifiers, and handlers between two letters, wait to be let go. */
async function serveWaiting({ isVerified = false, ...options }: Options) {
  let release = () => {};
  const waiting = new Promise<void>((resolve) => {
    release = resolve;
  });
  /** What handlers noted, in order. */
  const notes: string[] = [];
  const signals: AbortSignal[] = [];
  const server = await serve({
    ...options,
    port: 0,
    readMaxBytes: 16 * mebibyte,
    services: [
      service(mailboxPolicy, {
        getBulletin: unimplemented,
        openSession: unimplemented,
        countLetters: () => ({ count: 3 }),
        sendLetter: ({ letter }) => {
          notes.push(`a letter of ${letter?.text.length}`);
          return {};
        },
        watchLetters: unimplemented,
        importLetters: async (requests, { signal }) => {
          signals.push(signal);
          let count = 0;
          try {
            for await (const _ of requests) {
              count++;
              await waiting;
            }
            notes.push(`all ${count} letters`);
          } catch (reason) {
            notes.push(`${count} letter, ${ConnectError.from(reason).code}`);
          }
          return { count };
        },
        converse: unimplemented,
      }),
    ],
    verifiers: {
      session: () => (isVerified ? { mailboxId: 7n } : waiting.then(() => ({ mailboxId: 7n }))),
    },
  });
  return {
    url: server.url,
    port: server.port,
    notes,
    signals,
    release,
    [Symbol.asyncDispose]: () => server.close({ graceMs: 1 }),
  };
}

/** Sends a request on HTTP/2; resolves with all that comes back, as text. */
async function post(
  session: ClientHttp2Session,
  path: string,
  contentType: string,
  body: Uint8Array,
): Promise<string> {
  const request = { ":method": "POST", ":path": path, "content-type": contentType, ...header };
  const { headers, body: text, trailers } = await http2Request(session, request, body);
  return [...headers, text, ...trailers].join(" ");
}

function letterOf(length: number): Uint8Array {
  const init = { letter: { text: "x".repeat(length) } };
  return toBinary(SendLetterRequestSchema, create(SendLetterRequestSchema, init));
}

const isUnavailable = (answer: string) => /"code":"unavailable"|grpc-status(:| ) ?14/.test(answer);
const isOk = (answer: string) => /^:status 200 content-length 0 |grpc-status(:| ) ?0/.test(answer);

describe.each([
  ["lean path", true],
  ["connect's handlers", false],
])("%s: a call that was shed", (_, leanPath) => {
  const types = ["application/proto", "application/grpc", "application/grpc-web+proto"] as const;

  it.each(types)("runs no handler, although all of its body has arrived: %s", async (type) => {
    await using server = await serveWaiting({ leanPath, limits: { maxUnreadBytes: mebibyte } });
    const session = openHttp2(server.url);
    const message = letterOf(900_000);
    const body = type === "application/proto" ? message : framed(message);
    const calls = [1, 2, 3].map(() => post(session, sendLetter, type, body));
    expect(await Promise.race(calls)).toSatisfy(isUnavailable);
    server.release();
    const answers = await Promise.all(calls);
    await post(session, `${mailbox}/CountLetters`, "application/grpc", Buffer.alloc(5));
    const served = answers.filter((answer) => !isUnavailable(answer));
    expect(served.length).toBeLessThan(3);
    expect(server.notes).toEqual(served.map(() => "a letter of 900000"));
    session.destroy();
  });

  it.each(types)("is Unavailable, also when its body waited to be read: %s", async (type) => {
    await using server = await serveWaiting({
      leanPath,
      isVerified: true,
      limits: { maxBodyBytes: mebibyte, maxUnreadBytes: mebibyte },
    });
    // It began first, so it may take all that there is, and go on.
    const [first, greedy] = [openHttp2(server.url), openHttp2(server.url)];
    const upload = first.request({
      ":method": "POST",
      ":path": sendLetter,
      "content-type": "application/grpc",
      ...header,
    });
    upload.on("error", () => {});
    upload.write(framed(Buffer.alloc(3 * mebibyte)).subarray(0, mebibyte + 100));
    await once(first, "remoteSettings");
    const message = letterOf(900_000);
    const body = type === "application/proto" ? message : framed(message);
    const calls = [1, 2, 3].map(() => post(greedy, sendLetter, type, body));
    // Two go over the bound together.
    const one = await Promise.race(calls);
    upload.close(8);
    const answers = await Promise.all(calls);
    const served = answers.filter((answer) => !isUnavailable(answer));
    expect([one, ...answers].filter(isUnavailable).length).toBeGreaterThanOrEqual(2);
    expect(served.filter((answer) => !isOk(answer))).toEqual([]);
    expect(server.notes).toHaveLength(served.length);
    first.destroy();
    greedy.destroy();
  });

  it.each([
    ["application/proto", true],
    ["application/proto", false],
    ["application/grpc-web+proto", true],
    ["application/grpc-web+proto", false],
  ])("runs no handler over HTTP/1.1: %s, in chunks: %s", async (type, isChunked) => {
    await using server = await serveWaiting({ leanPath, limits: { maxUnreadBytes: mebibyte } });
    const message = letterOf(40_000);
    const body = type === "application/proto" ? message : framed(message);
    const head = [
      `POST ${sendLetter} HTTP/1.1`,
      "host: 127.0.0.1",
      "connection: close",
      `content-type: ${type}`,
      `mailbox-session: ${header["mailbox-session"]}`,
      isChunked ? "transfer-encoding: chunked" : `content-length: ${body.length}`,
    ];
    const size = body.length.toString(16);
    const request = Buffer.concat([
      Buffer.from(`${head.join("\r\n")}\r\n\r\n${isChunked ? `${size}\r\n` : ""}`),
      body,
      Buffer.from(isChunked ? "\r\n0\r\n\r\n" : ""),
    ]);
    const calls = Array.from({ length: 40 }, () => sendBytes(server.port, request));
    expect(await Promise.race(calls)).toSatisfy(isUnavailable);
    server.release();
    const answers = await Promise.all(calls);
    const served = answers.filter((answer) => !isUnavailable(answer));
    expect(served.every((answer) => answer.startsWith("HTTP/1.1 200 "))).toBe(true);
    expect(served.length).toBeLessThan(40);
    expect(server.notes).toEqual(served.map(() => "a letter of 40000"));
  });
});

it("tells the handler of a stream that was shed, which must not take it for complete", async () => {
  await using server = await serveWaiting({
    leanPath: true,
    isVerified: true,
    limits: { maxUnreadBytes: mebibyte },
  });
  const init = create(ImportLettersRequestSchema, { letter: { text: "x".repeat(15_000) } });
  const letter = framed(toBinary(ImportLettersRequestSchema, init));
  const session = openHttp2(server.url);
  const path = `${mailbox}/ImportLetters`;
  // Whole bodies, so that nothing but the server cuts them off.
  const body = Buffer.concat(Array.from({ length: 60 }, () => letter));
  const calls = [1, 2].map(() => post(session, path, "application/grpc", body));
  expect((await Promise.all(calls)).map(isUnavailable)).toEqual([true, true]);
  expect(server.signals.map(({ aborted }) => aborted)).toEqual([true, true]);
  server.release();
  while (server.notes.length < 2) {
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(server.notes).toEqual([`1 letter, ${Code.Unavailable}`, `1 letter, ${Code.Unavailable}`]);
  session.destroy();
});

/** Hands one request to a test. */
async function exchangeOf(request: (port: number) => void) {
  let onExchange = (_: Exchange) => {};
  const arrived = new Promise<Exchange>((resolve) => {
    onExchange = resolve;
  });
  const listener = await listen({
    port: 0,
    host: "127.0.0.1",
    tls: undefined,
    limits: resolveLimits({}, new Set()),
    answers: new UnsentAnswers(2 ** 20, new BodyClock(60_000)),
    onExchange: (exchange) => onExchange(exchange),
  });
  request(listener.port);
  return {
    exchange: await arrived,
    [Symbol.asyncDispose]: async () => {
      listener.drain();
      listener.destroy();
      await listener.closed;
    },
  };
}

describe.each([
  [
    "HTTP/2",
    (port: number) => {
      const session = openHttp2(`http://127.0.0.1:${port}`);
      post(session, sendLetter, "application/grpc", Buffer.alloc(10_000));
    },
  ],
  [
    "HTTP/1.1",
    (port: number) => {
      const body = "x".repeat(10_000);
      const head = `POST ${sendLetter} HTTP/1.1\r\nhost: a\r\ncontent-length: ${body.length}`;
      sendBytes(port, `${head}\r\n\r\n${body}`);
    },
  ],
])("%s: a body that was dropped", (_, request) => {
  it("does not end for who iterates over it, before or after", async () => {
    await using arrived = await exchangeOf(request);
    const { exchange } = arrived;
    const read = async () => {
      for await (const _chunk of exchange.body(undefined)) {
        // Only how it ends counts.
      }
    };
    const before = read();
    exchange.dropBody();
    const readers = [before, read()];
    exchange.answer({ status: 503 });
    for (const reader of readers) {
      await expect(reader).rejects.toThrow("the request was cut off");
    }
  });

  it.each(["before", "after"])("does not end for who has it handed over, %s", async (order) => {
    await using arrived = await exchangeOf(request);
    const { exchange } = arrived;
    const told: string[] = [];
    const receive = () =>
      exchange.receive({ onData: () => told.push("data"), onEnd: () => told.push("end") });
    const closed = new Promise<void>((resolve) => exchange.onClose(resolve));
    if (order === "before") {
      receive();
      exchange.dropBody();
    } else {
      exchange.dropBody();
      receive();
    }
    exchange.answer({ status: 503 });
    await closed;
    expect(told).toEqual([]);
  });

  it.each(["before", "after"])(
    "aborts the signal with the answer, if asked for %s",
    async (order) => {
      await using arrived = await exchangeOf(request);
      const { exchange } = arrived;
      const early = order === "before" ? exchange.signal : undefined;
      exchange.dropBody();
      // Not earlier: a gate that waits for a verifier would answer in the dispatcher's place.
      expect(early?.aborted ?? false).toBe(false);
      exchange.answer({ status: 503 });
      expect(exchange.signal.aborted).toBe(true);
      expect(ConnectError.from(exchange.signal.reason).code).toBe(Code.Unavailable);
    },
  );
});
