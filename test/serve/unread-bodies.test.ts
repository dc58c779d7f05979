import { once } from "node:events";
import type { ClientHttp2Session, ClientHttp2Stream } from "node:http2";
import type { Socket } from "node:net";
import type { Readable } from "node:stream";
import { create, toBinary } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { service, unimplemented } from "countersign";
import { type ServeLimits, serve } from "countersign/serve";
import { describe, expect, it } from "vitest";
import { ConverseRequestSchema } from "../../gen/countersign/example/v1/mailbox_pb.ts";
import { BodyClock } from "../../src/serve/body-clock.ts";
import type { Exchange } from "../../src/serve/exchange.ts";
import { resolveLimits } from "../../src/serve/limits.ts";
import { listen } from "../../src/serve/listener.ts";
import { UnreadBodies } from "../../src/serve/unread-bodies.ts";
import { UnsentAnswers } from "../../src/serve/unsent-answers.ts";
import { FrameReader } from "./frame-reader.ts";
import {
  ack,
  frame,
  frameType,
  hello,
  type ReceivedFrame,
  requestHeaders,
} from "./http2-frames.ts";
import { header, mailboxPolicy, serveMailbox, token } from "./mailbox-server.ts";
import { http2Request, openHttp2, openSocket } from "./raw-http.ts";

const mebibyte = 1024 * 1024;
const sendLetter = "/countersign.example.v1.Mailbox/SendLetter";
const emptyMessage = Buffer.alloc(5);

const grpcHeaders = (path: string) => ({
  ":method": "POST",
  ":path": path,
  "content-type": "application/grpc",
  ...header,
});

/** Serves one RPC, SendLetter, whose verifier answers when it is let go. */
async function serveUndecided(options: {
  readonly leanPath: boolean;
  readonly limits: ServeLimits;
}) {
  let release = () => {};
  const verifying = new Promise<void>((resolve) => {
    release = resolve;
  });
  const began: string[] = [];
  const server = await serve({
    ...options,
    port: 0,
    readMaxBytes: 16 * mebibyte,
    services: [
      service(mailboxPolicy, {
        getBulletin: unimplemented,
        openSession: unimplemented,
        countLetters: unimplemented,
        sendLetter: () => {
          began.push("sendLetter");
          return {};
        },
        watchLetters: unimplemented,
        importLetters: unimplemented,
        converse: unimplemented,
      }),
    ],
    verifiers: { session: () => verifying.then(() => ({ mailboxId: 7n })) },
  });
  return {
    url: server.url,
    port: server.port,
    began,
    release,
    [Symbol.asyncDispose]: () => server.close({ graceMs: 1 }),
  };
}

/**
 * Opens a call and sends as much of its body as the window lets through. Not
 * much more: Node's client resets calls while more than 10 MiB wait to be sent.
 */
function upload(session: ClientHttp2Session, path: string): ClientHttp2Stream {
  const stream = session.request(grpcHeaders(path));
  stream.on("error", () => {});
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(3 * mebibyte, 1);
  stream.write(Buffer.concat([prefix, Buffer.alloc(mebibyte + 1)]));
  return stream;
}

/** The gRPC status that ends a call. */
function statusOf(stream: ClientHttp2Stream): Promise<unknown> {
  stream.resume();
  return new Promise((resolve) => {
    let status: unknown;
    const onHeaders = (headers: Record<string, unknown>) => {
      status ??= headers["grpc-status"];
    };
    stream.on("response", onHeaders);
    stream.on("trailers", onHeaders);
    stream.on("close", () => resolve(status === undefined ? undefined : Number(status)));
  });
}

describe.each([
  ["lean path", true],
  ["connect's handlers", false],
])("%s: bodies that nobody reads", (_, leanPath) => {
  it("are let go of beyond the bound, where most of them is held", async () => {
    await using mailbox = await serveUndecided({
      leanPath,
      // One window takes a little more.
      limits: { maxUnreadBytes: mebibyte },
    });
    const [modest, greedy] = [openHttp2(mailbox.url), openHttp2(mailbox.url)];
    const one = http2Request(modest, grpcHeaders(sendLetter), emptyMessage);
    const many = Array.from({ length: 5 }, () => statusOf(upload(greedy, sendLetter)));
    expect(await Promise.all(many)).toEqual(many.map(() => Code.Unavailable));
    mailbox.release();
    expect((await one).trailers).toEqual(["grpc-status", "0"]);
    expect(mailbox.began).toEqual(["sendLetter"]);
    modest.destroy();
    greedy.destroy();
  });

  it("count as the memory that they take, in however small pieces they come", async () => {
    await using mailbox = await serveUndecided({ leanPath, limits: { maxUnreadBytes: mebibyte } });
    const socket = await openSocket(mailbox.port);
    const frames = new FrameReader(socket);
    socket.write(hello);
    await frames.next(({ type, flags }) => type === frameType.settings && flags === 0);
    socket.write(frame(frameType.settings, ack, 0));
    socket.write(
      requestHeaders(1, sendLetter, "application/grpc", undefined, [["mailbox-session", token]]),
    );
    // 60 of the stream's 1,024 KiB.
    const piece = frame(frameType.data, 0, 1, Buffer.alloc(1));
    socket.write(Buffer.concat(Array.from({ length: 60_000 }, () => piece)));
    const answer = await frames.next(({ type }) => type === frameType.headers);
    expect(answer?.streamId).toBe(1);
    expect(mailbox.began).toEqual([]);
    mailbox.release();
    socket.destroy();
  });
});

it("lets go of bodies that wait for the memory that bodies may take together", async () => {
  await using mailbox = await serveMailbox({
    readMaxBytes: 16 * mebibyte,
    limits: { maxBodyBytes: mebibyte, maxUnreadBytes: mebibyte, maxConcurrentCalls: 4 },
  });
  const { url } = mailbox.server;
  const [first, greedy] = [openHttp2(url), openHttp2(url)];
  // It began first, so it may take all that there is, and go on.
  upload(first, sendLetter);
  const many = Array.from({ length: 3 }, () => statusOf(upload(greedy, sendLetter)));
  // Two go over the bound together. What the third holds is a little less than one window.
  const one = await Promise.race(many);
  const others = many.filter((_, i) => i > 0);
  expect([one, await Promise.race(others)]).toEqual([Code.Unavailable, Code.Unavailable]);
  // They are open no more: calls find room beside those that are left.
  const count = grpcHeaders("/countersign.example.v1.Mailbox/CountLetters");
  const room = () => http2Request(first, count, emptyMessage).then(({ trailers }) => trailers[1]);
  for (const _ of many) {
    expect(await Promise.all([room(), room()])).toEqual(["0", "0"]);
  }
  first.destroy();
  greedy.destroy();
});

it("breaks an answer off that was begun, to let go of the body", async () => {
  await using mailbox = await serveMailbox({
    readMaxBytes: 16 * mebibyte,
    // More than one window takes, and less than two.
    limits: { maxUnreadBytes: 1.5 * mebibyte },
  });
  const session = openHttp2(mailbox.server.url);
  const request = create(ConverseRequestSchema, { letter: { text: "x".repeat(60_000) } });
  const message = toBinary(ConverseRequestSchema, request);
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.length, 1);
  const resets = [1, 2].map(async () => {
    const stream = session.request(grpcHeaders("/countersign.example.v1.Mailbox/Converse"));
    stream.on("error", () => {});
    const letter = Buffer.concat([prefix, message]);
    stream.write(letter);
    await new Promise((resolve) => stream.on("response", resolve));
    // The answers are not read, so the handler waits to send more, and reads no more.
    for (let i = 0; i < 30; i++) {
      stream.write(letter);
    }
    await new Promise((resolve) => stream.on("close", resolve));
    return stream.rstCode;
  });
  expect(await Promise.all(resets)).toEqual([2, 2]);
  expect(mailbox.log.began).toEqual(["converse", "converse"]);
  session.destroy();
});

/** A port whose requests nobody reads or answers, and what it holds of their bodies. */
async function listenUnread(maxBytes: number) {
  const open = new Set<{ readonly exchange: Exchange }>();
  const held = { most: 0, shed: 0, pieces: 0 };
  const unread = new UnreadBodies(maxBytes, open, ({ exchange }) => {
    held.shed += 1;
    exchange.dropBody();
  });
  const measure = () => {
    const buffers = new Set<ArrayBufferLike>();
    for (const { exchange } of open) {
      exchange.visitUnread(({ buffer }) => buffers.add(buffer));
    }
    const bytes = [...buffers].reduce((sum, { byteLength }) => sum + byteLength, 0);
    held.most = Math.max(held.most, bytes);
  };
  const listener = await listen({
    port: 0,
    host: "127.0.0.1",
    tls: undefined,
    limits: resolveLimits({}, new Set()),
    answers: new UnsentAnswers(mebibyte, new BodyClock(60_000)),
    onExchange: (exchange) => {
      const request = { exchange };
      open.add(request);
      exchange.onClose(() => open.delete(request));
      exchange.watchBody((readable: Readable) => {
        unread.watch(readable);
        const { push } = readable;
        // What is held is measured with every piece: its most is within a turn.
        readable.push = (chunk, encoding) => {
          const mayGoOn = push.call(readable, chunk, encoding);
          held.pieces += 1;
          measure();
          return mayGoOn;
        };
      });
    },
  });
  return {
    port: listener.port,
    held,
    [Symbol.asyncDispose]: async () => {
      listener.drain();
      listener.destroy();
      await listener.closed;
    },
  };
}

/** Opens a connection of HTTP/2 that has exchanged settings. */
async function openFrames(port: number): Promise<Socket> {
  const socket = await openSocket(port);
  socket.write(hello);
  await once(socket, "data");
  socket.write(frame(frameType.settings, ack, 0));
  socket.resume();
  return socket;
}

/** One call with more of its body than a connection has buffers for. */
const flood = Buffer.concat([
  requestHeaders(1, sendLetter, "application/grpc"),
  ...Array.from({ length: 60 }, () => frame(frameType.data, 0, 1, Buffer.alloc(16_384))),
]);

const chunked = Buffer.from(
  `POST ${sendLetter} HTTP/1.1\r\nhost: 127.0.0.1\r\ntransfer-encoding: chunked\r\n\r\n`,
);

describe.each([
  ["HTTP/2", openFrames, flood],
  [
    "HTTP/1.1",
    openSocket,
    Buffer.concat([chunked, Buffer.from(`100000\r\n${"x".repeat(1_000_000)}`)]),
  ],
])("%s: bodies that arrive in one turn of the event loop", (_, open, bytes) => {
  it("are held within the bound and an eighth more, at every moment of that turn", async () => {
    const maxBytes = 2 * mebibyte;
    await using port = await listenUnread(maxBytes);
    const sockets = await Promise.all(Array.from({ length: 50 }, () => open(port.port)));
    // The server runs in this process: it sees nothing before all is in the sockets that fits.
    for (const socket of sockets) {
      socket.write(bytes);
    }
    while (port.held.shed < 10) {
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(port.held.most).toBeGreaterThan(maxBytes / 2);
    // The last piece, and what was read together with it.
    expect(port.held.most).toBeLessThanOrEqual(maxBytes + maxBytes / 8 + 65_536);
    for (const socket of sockets) {
      socket.destroy();
    }
  });
});

it("answers other connections' calls while hostile ones send as much as they can", async () => {
  await using mailbox = await serveUndecided({
    leanPath: true,
    limits: { maxUnreadBytes: 2 * mebibyte },
  });
  const honest = openHttp2(mailbox.url);
  const calls = [1, 2, 3].map(() => http2Request(honest, grpcHeaders(sendLetter), emptyMessage));
  const sockets = await Promise.all(Array.from({ length: 30 }, () => openFrames(mailbox.port)));
  const frames = sockets.map((socket) => new FrameReader(socket));
  for (const socket of sockets) {
    socket.write(flood);
  }
  const isAnswer = ({ type }: ReceivedFrame) => type === frameType.headers;
  await Promise.race(frames.map((reader) => reader.next(isAnswer)));
  mailbox.release();
  const answers = await Promise.all(calls);
  expect(answers.map(({ trailers }) => trailers)).toEqual(calls.map(() => ["grpc-status", "0"]));
  honest.destroy();
  for (const socket of sockets) {
    socket.destroy();
  }
});
