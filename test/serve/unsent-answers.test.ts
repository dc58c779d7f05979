import { once } from "node:events";
import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants } from "node:http2";
import type { Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { Code, createClient } from "@connectrpc/connect";
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from "@connectrpc/connect-node";
import { service, unimplemented } from "countersign";
import { type ServeLimits, serve } from "countersign/serve";
import { describe, expect, it } from "vitest";
import { Mailbox } from "../../gen/countersign/example/v1/mailbox_pb.ts";
import { AnswerHead } from "../../src/serve/answer-head.ts";
import { BodyClock } from "../../src/serve/body-clock.ts";
import type { Exchange } from "../../src/serve/exchange.ts";
import { resolveLimits } from "../../src/serve/limits.ts";
import { listen } from "../../src/serve/listener.ts";
import { UnsentAnswers, uncountedBytes } from "../../src/serve/unsent-answers.ts";
import { FrameReader } from "./frame-reader.ts";
import {
  ack,
  endHeaders,
  endStream,
  frame,
  frameType,
  hello,
  requestHeaders,
} from "./http2-frames.ts";
import { header, mailboxPolicy, serveMailbox } from "./mailbox-server.ts";
import { http1Request, http2Request, openHttp2, openSocket, readToEnd } from "./raw-http.ts";

const mebibyte = 1024 * 1024;
const path = "/countersign.example.v1.Mailbox";
const text = "x".repeat(mebibyte - 100);

const grpcHeaders = (rpc: string) => ({
  ":method": "POST",
  ":path": `${path}/${rpc}`,
  "content-type": "application/grpc",
  ...header,
});

/** A connection whose calls have no window: their answers stay with the server. */
async function openUnreading(url: string): Promise<ClientHttp2Session> {
  const session = connect(url, { settings: { initialWindowSize: 0 } });
  session.on("error", () => {});
  await once(session, "remoteSettings");
  return session;
}

/** What became of a call. */
interface Call {
  /** Resolves when its answer has begun, or the call has ended without one. */
  readonly begun: Promise<void>;
  /** Resolves with the gRPC status, or with how the stream was reset. */
  readonly ended: Promise<string>;
  readonly stream: ClientHttp2Stream;
}

function ask(session: ClientHttp2Session, headers: Record<string, string>): Call {
  const stream = session.request(headers);
  stream.on("error", () => {});
  stream.end(Buffer.alloc(5));
  let status: unknown;
  const onHeaders = (received: Record<string, unknown>) => {
    status ??= received["grpc-status"];
  };
  stream.on("response", onHeaders);
  stream.on("trailers", onHeaders);
  const closed = new Promise<void>((resolve) => stream.once("close", resolve));
  const ended = closed.then(() =>
    status === undefined ? `reset ${stream.rstCode}` : `status ${status}`,
  );
  const response = new Promise<void>((resolve) => stream.once("response", () => resolve()));
  // The answer of an error is one frame, of which the end must be read.
  response.then(() => stream.resume());
  return { begun: Promise.race([response, closed]), ended, stream };
}

const unavailable = `status ${Code.Unavailable}`;

describe.each([
  ["lean path", true],
  ["connect's handlers", false],
])("%s: answers that nobody reads", (_, leanPath) => {
  it("end, beyond the bound, where most of them is held", async () => {
    await using mailbox = await serveMailbox({
      leanPath,
      bulletin: text,
      limits: { maxUnsentBytes: 4 * mebibyte },
    });
    const { url } = mailbox.server;
    const greedy = await openUnreading(url);
    const calls = Array.from({ length: 8 }, () => ask(greedy, grpcHeaders("GetBulletin")));
    await Promise.all(calls.map(({ begun }) => begun));
    // Four, and the largest. Who holds most is told what is too much for it.
    const refused = await Promise.all(calls.slice(5).map(({ ended }) => ended));
    expect(refused).toEqual([unavailable, unavailable, unavailable]);
    // A small answer needs no room.
    const honest = openHttp2(url);
    const count = await http2Request(honest, grpcHeaders("CountLetters"), Buffer.alloc(5));
    expect([count.trailers, greedy.destroyed]).toEqual([["grpc-status", "0"], false]);
    // A large one does: the connection that holds most makes room.
    const answer = await http2Request(honest, grpcHeaders("GetBulletin"), Buffer.alloc(5));
    expect(answer.trailers).toEqual(["grpc-status", "0"]);
    expect(answer.body).toHaveLength(5 + 4 + text.length);
    const held = await Promise.all(calls.slice(0, 5).map(({ ended }) => ended));
    expect(new Set(held)).toEqual(new Set([`reset ${constants.NGHTTP2_CANCEL}`]));
    expect(greedy.destroyed).toBe(true);
    // It may come again, and finds the room that it gave back.
    const again = await http2Request(openHttp2(url), grpcHeaders("GetBulletin"), Buffer.alloc(5));
    expect(again.trailers).toEqual(["grpc-status", "0"]);
    honest.destroy();
  });

  it("are broken off when nothing of them is taken for a time", async () => {
    await using mailbox = await serveMailbox({
      leanPath,
      bulletin: text,
      limits: { answerTimeoutMs: 50 },
    });
    const session = await openUnreading(mailbox.server.url);
    const call = ask(session, grpcHeaders("GetBulletin"));
    expect(await call.ended).toBe(`reset ${constants.NGHTTP2_INTERNAL_ERROR}`);
    session.destroy();
  });

  it("are not broken off while their caller takes them slowly", async () => {
    const answerTimeoutMs = 600;
    await using mailbox = await serveMailbox({
      leanPath,
      bulletin: "x".repeat(700_000),
      limits: { answerTimeoutMs },
    });
    const socket = await openSocket(mailbox.server.port);
    const frames = new FrameReader(socket);
    // SETTINGS_INITIAL_WINDOW_SIZE of 0 (RFC 9113, section 6.5.2).
    const noWindow = frame(frameType.settings, 0, 0, Buffer.from([0, 4, 0, 0, 0, 0]));
    const update = (id: number) => {
      const bytes = Buffer.alloc(4);
      bytes.writeUInt32BE(100_000);
      return frame(frameType.windowUpdate, 0, id, bytes);
    };
    socket.write(Buffer.concat([hello, noWindow]));
    await frames.next(({ type, flags }) => type === frameType.settings && flags === 0);
    const headers = requestHeaders(1, `${path}/GetBulletin`, "application/grpc");
    const body = frame(frameType.data, endStream, 1, Buffer.alloc(5));
    socket.write(Buffer.concat([frame(frameType.settings, ack, 0), headers, body]));
    const began = performance.now();
    const slowly = setInterval(() => socket.write(Buffer.concat([update(0), update(1)])), 150);
    const end = await frames.next(
      ({ type, flags, streamId }) =>
        type === frameType.resetStream || (streamId === 1 && (flags & endStream) !== 0),
    );
    clearInterval(slowly);
    expect([end?.type, (end?.flags ?? 0) & endHeaders]).toEqual([frameType.headers, endHeaders]);
    // It took longer than there is time for a piece.
    expect(performance.now() - began).toBeGreaterThan(answerTimeoutMs);
    socket.destroy();
  });
});

describe.each([
  ["gRPC", (baseUrl: string) => createGrpcTransport({ baseUrl })],
  [
    "gRPC-web on HTTP/1.1",
    (baseUrl: string) => createGrpcWebTransport({ baseUrl, httpVersion: "1.1" }),
  ],
  [
    "Connect on HTTP/1.1",
    (baseUrl: string) => createConnectTransport({ baseUrl, httpVersion: "1.1" }),
  ],
])("%s", (_, transport) => {
  it.each([true, false])(
    "sends a lone answer that is larger than the bound (lean path: %s)",
    async (leanPath) => {
      const bulletin = `begin ${"0123456789".repeat(500_000)} end`;
      await using mailbox = await serveMailbox({
        leanPath,
        bulletin,
        limits: { maxUnsentBytes: mebibyte },
      });
      const client = createClient(Mailbox, transport(mailbox.server.url));
      expect((await client.getBulletin({})).text === bulletin).toBe(true);
      expect((await client.getBulletin({})).text === bulletin).toBe(true);
    },
  );
});

/** Serves watchLetters, whose letters are of a megabyte after the first, and bulletins as large. */
async function serveLetters(first: string, limits: ServeLimits) {
  const log = { returned: 0, aborted: 0 };
  const server = await serve({
    port: 0,
    limits,
    services: [
      service(mailboxPolicy, {
        getBulletin: () => ({ text }),
        openSession: unimplemented,
        countLetters: unimplemented,
        sendLetter: unimplemented,
        watchLetters: async function* (_, { signal }) {
          signal.addEventListener("abort", () => log.aborted++);
          try {
            yield { letter: { text: first } };
            for (;;) {
              yield { letter: { text } };
            }
          } finally {
            log.returned++;
          }
        },
        importLetters: unimplemented,
        converse: unimplemented,
      }),
    ],
    verifiers: { session: () => ({ mailboxId: 7n }) },
  });
  return { server, log, [Symbol.asyncDispose]: () => server.close({ graceMs: 1 }) };
}

it("counts the messages of a stream, which may stay unread for longer than a unary answer", async () => {
  await using letters = await serveLetters(text, {
    // A message counts three times, the largest not.
    maxUnsentBytes: 5 * mebibyte,
    answerTimeoutMs: 30,
  });
  const session = await openUnreading(letters.server.url);
  const watching = [1, 2, 3].map(() => ask(session, grpcHeaders("WatchLetters")));
  await Promise.all(watching.map(({ begun }) => begun));
  expect(await Promise.race(watching.map(({ ended }) => ended))).toBe(unavailable);
  // The time is over for a unary answer that is younger than they are.
  const bulletin = ask(session, grpcHeaders("GetBulletin"));
  expect(await bulletin.ended).toBe(`reset ${constants.NGHTTP2_INTERNAL_ERROR}`);
  const open = watching.filter(({ stream }) => !stream.closed);
  expect(open).toHaveLength(2);
  session.destroy();
  while (letters.log.returned < 3) {
    await new Promise((resolve) => setImmediate(resolve));
  }
});

it("breaks a stream off whose next message there is no room for, and stops its handler", async () => {
  await using letters = await serveLetters("hello", { maxUnsentBytes: 2 * mebibyte });
  const unread = await openUnreading(letters.server.url);
  const bulletins = [1, 2, 3].map(() => ask(unread, grpcHeaders("GetBulletin")));
  await Promise.all(bulletins.map(({ begun }) => begun));
  const session = openHttp2(letters.server.url);
  const watching = ask(session, grpcHeaders("WatchLetters"));
  expect(await watching.ended).toBe(`reset ${constants.NGHTTP2_INTERNAL_ERROR}`);
  expect(letters.log).toEqual({ returned: 1, aborted: 1 });
  unread.destroy();
  session.destroy();
});

it("counts once, and gives back once", () => {
  const answers = new UnsentAnswers(mebibyte, new BodyClock(60_000));
  const connection = { drain: () => {}, destroy: () => {} };
  const [one, other] = [
    { connection, bytes: 100_000 },
    { connection, bytes: 50_000 },
  ];
  answers.add(one);
  answers.add(one);
  answers.add(other);
  expect(answers.heldBytes).toBe(150_000);
  answers.release(one);
  answers.release(one);
  expect(answers.heldBytes).toBe(50_000);
});

const body = Buffer.alloc(4 * mebibyte);

/** How an answer is given: whole, as the lean path does, or as connect's handlers do. */
const manners = {
  whole: (exchange: Exchange) =>
    exchange.answerWhole({ head: new AnswerHead({}), body, trailers: { "grpc-status": "0" } }),
  "in pieces": (exchange: Exchange) => {
    exchange.answer(
      {
        status: 200,
        body: (async function* () {
          yield body.subarray(0, uncountedBytes);
          yield body;
        })(),
        trailer: new Headers({ "grpc-status": "0" }),
      },
      { isStream: false, refuse: () => {} },
    );
  },
  "in pieces, the second of which fails": (exchange: Exchange) => {
    exchange.answer(
      {
        status: 200,
        body: (async function* () {
          yield body;
          throw new Error("no more");
        })(),
      },
      { isStream: true, refuse: () => {} },
    );
  },
};

/** A port whose answers are large, and what is counted of them. */
async function listenLarge(answer: (exchange: Exchange) => void, answerTimeoutMs = 60_000) {
  const answers = new UnsentAnswers(1024 * mebibyte, new BodyClock(answerTimeoutMs));
  let requests = 0;
  const listener = await listen({
    port: 0,
    host: "127.0.0.1",
    tls: undefined,
    limits: resolveLimits({}, new Set()),
    answers,
    onExchange: (exchange) => {
      requests++;
      answer(exchange);
    },
  });
  const until = async (isTrue: () => boolean) => {
    while (!isTrue()) {
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  return {
    url: `http://127.0.0.1:${listener.port}`,
    port: listener.port,
    answers,
    listener,
    held: (count = 1) => until(() => requests >= count && answers.heldBytes >= count * body.length),
    empty: () => until(() => answers.heldBytes === 0),
    [Symbol.asyncDispose]: async () => {
      listener.drain();
      listener.destroy();
      await listener.closed;
    },
  };
}

describe.each(Object.entries(manners))(
  "nothing is counted any more of an answer %s",
  (_, answer) => {
    const headers = { ":method": "POST", ":path": "/" };

    it("on HTTP/2, be it taken, reset, or its connection lost", async () => {
      await using port = await listenLarge(answer);
      await http2Request(openHttp2(port.url), headers, Buffer.alloc(0));
      await port.empty();

      for (const code of [constants.NGHTTP2_CANCEL, constants.NGHTTP2_NO_ERROR]) {
        const session = await openUnreading(port.url);
        const stream = session.request(headers).on("error", () => {});
        stream.end();
        await port.held();
        stream.close(code);
        await port.empty();
        session.destroy();
      }

      // A request that never ends, of which the answer is cut off.
      const endless = await openUnreading(port.url);
      const stream = endless.request(headers).on("error", () => {});
      stream.write("more");
      await port.held();
      stream.close(constants.NGHTTP2_CANCEL);
      await port.empty();
      endless.destroy();

      const lost = await openUnreading(port.url);
      for (let i = 0; i < 3; i++) {
        lost
          .request(headers)
          .on("error", () => {})
          .end();
      }
      await port.held(3);
      lost.destroy();
      await port.empty();

      await openStuck(port.port);
      await port.held();
      port.listener.drain();
      port.listener.destroy();
      await port.empty();
    });

    it("on HTTP/1.1, be it taken, or its connection lost, with others pipelined behind it", async () => {
      await using port = await listenLarge(answer);
      const reading = await openSocket(port.port);
      reading.resume().write(http1Request("GET", "/", { connection: "keep-alive" }));
      await port.held();
      await port.empty();
      reading.destroy();

      for (const requests of [1, 3]) {
        const socket = (await openSocket(port.port)).pause();
        socket.write(http1Request("GET", "/", { connection: "keep-alive" }).repeat(requests));
        await port.held(requests);
        socket.destroy();
        await port.empty();
      }
    });
  },
);

/** A connection of HTTP/2 that has windows for everything, and takes nothing from its socket. */
async function openStuck(port: number): Promise<Socket> {
  const socket = await openSocket(port);
  const windows = Buffer.alloc(10);
  windows.writeUInt16BE(4, 0);
  windows.writeUInt32BE(0x7fffffff, 2);
  windows.writeUInt32BE(0x7fff0000, 6);
  socket.write(
    Buffer.concat([
      hello,
      frame(frameType.settings, 0, 0, windows.subarray(0, 6)),
      frame(frameType.windowUpdate, 0, 0, windows.subarray(6)),
      frame(frameType.settings, ack, 0),
      requestHeaders(1, "/", "application/grpc", endHeaders | endStream),
    ]),
  );
  return socket.pause();
}

it("breaks an answer off on HTTP/1.1 of which nothing is taken for a time", async () => {
  // Larger than the buffers of sockets.
  const large = Buffer.alloc(32 * mebibyte);
  await using port = await listenLarge(
    (exchange) =>
      exchange.answerWhole({ head: new AnswerHead({}), body: large, trailers: undefined }),
    50,
  );
  const socket = (await openSocket(port.port)).pause();
  socket.write(http1Request("GET", "/", { connection: "keep-alive" }));
  await port.held();
  await port.empty();
  // What fits the socket's buffers has arrived, and then its end.
  socket.resume();
  expect((await readToEnd(socket)).length).toBeLessThan(large.length);
});

it("does not break an answer off on HTTP/1.1 that waits for the one before it", async () => {
  let first: Exchange | undefined;
  const answerTimeoutMs = 50;
  await using port = await listenLarge((exchange) => {
    if (exchange.target === "/first") {
      first = exchange;
    } else {
      manners.whole(exchange);
    }
  }, answerTimeoutMs);
  const socket = await openSocket(port.port);
  const received = readToEnd(socket);
  socket.write(http1Request("GET", "/first", { connection: "keep-alive" }));
  socket.write(http1Request("GET", "/second", {}));
  await port.held();
  // The subject is time that passes.
  await delay(3 * answerTimeoutMs);
  first?.answerWhole({ head: new AnswerHead({}), body: undefined, trailers: undefined });
  expect((await received).length).toBeGreaterThan(body.length);
});
