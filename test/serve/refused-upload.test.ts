import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from "@connectrpc/connect-node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Mailbox } from "../../gen/countersign/example/v1/mailbox_pb.ts";
import { openProxy } from "./counting-proxy.ts";
import { FrameReader } from "./frame-reader.ts";
import { ack, frame, frameType, hello, requestHeaders } from "./http2-frames.ts";
import { type MailboxServer, serveMailbox } from "./mailbox-server.ts";
import { openHttp2, openSocket, readToEnd } from "./raw-http.ts";

const mebibyte = 1024 * 1024;
const send = "/countersign.example.v1.Mailbox/SendLetter";
const unknown = "/countersign.example.v1.Mailbox/NoSuchMethod";

let mailbox: MailboxServer;
beforeAll(async () => {
  mailbox = await serveMailbox();
});
afterAll(() => mailbox[Symbol.asyncDispose]());

describe("100 MiB without a credential, from connect's clients", () => {
  const letter = { text: "x".repeat(100 * mebibyte) };
  // Node's clients reset a call that is answered while more than 10 MiB of it wait to be sent.
  const nodeOptions = { maxSessionMemory: 1_000 };

  async function* hundredLetters() {
    const mebibyteLetter = { text: "x".repeat(mebibyte) };
    for (let i = 0; i < 100; i++) {
      yield { letter: mebibyteLetter };
    }
  }

  it.each<[name: string, make: (baseUrl: string) => Transport, mostBytes: number]>([
    ["gRPC", (baseUrl) => createGrpcTransport({ baseUrl, nodeOptions }), 2 * mebibyte],
    [
      "gRPC-web on HTTP/2",
      (baseUrl) => createGrpcWebTransport({ baseUrl, httpVersion: "2", nodeOptions }),
      2 * mebibyte,
    ],
    [
      "Connect on HTTP/2",
      (baseUrl) => createConnectTransport({ baseUrl, httpVersion: "2", nodeOptions }),
      2 * mebibyte,
    ],
    // What the kernel takes in between is not ours to bound.
    [
      "Connect on HTTP/1.1",
      (baseUrl) => createConnectTransport({ baseUrl, httpVersion: "1.1" }),
      20 * mebibyte,
    ],
  ])("%s: the refusal arrives, the upload does not", async (name, makeTransport, mostBytes) => {
    await using proxy = await openProxy(mailbox.server.port);
    const client = createClient(Mailbox, makeTransport(proxy.url));
    for (const call of [client.sendLetter({ letter }), client.importLetters(hundredLetters())]) {
      const { code, rawMessage } = ConnectError.from(await call.catch((reason: unknown) => reason));
      expect([code, rawMessage]).toEqual([Code.Unauthenticated, "Authentication failed."]);
    }
    expect(proxy.sentBytes()).toBeLessThan(2 * mostBytes);
    console.log(
      `${name}: ${proxy.sentBytes()} bytes left the client of two refused uploads of 100 MiB`,
    );
  });
});

/** Uploads 100 MiB on an HTTP/2 stream, and tells what came back until the stream is closed. */
async function uploadOver2(path: string, contentType: string, start: Uint8Array) {
  await using proxy = await openProxy(mailbox.server.port);
  const session = openHttp2(proxy.url);
  const stream = session.request({ ":method": "POST", ":path": path, "content-type": contentType });
  const seen: string[] = [];
  stream.on("error", (error) => seen.push(error.message));
  stream.on("response", (headers) => {
    seen.push(`status ${headers[":status"]}`);
    if (headers["grpc-status"] !== undefined) {
      seen.push(`grpc-status ${headers["grpc-status"]}`);
    }
  });
  stream.on("trailers", () => seen.push("trailers"));
  stream.on("end", () => seen.push("end"));
  stream.resume();
  const chunk = Buffer.alloc(mebibyte);
  const sendOn = (sent: number) => {
    if (sent < 100 && !stream.destroyed) {
      stream.write(chunk, () => sendOn(sent + 1));
    }
  };
  stream.write(start);
  sendOn(0);
  await new Promise((resolve) => stream.once("close", resolve));
  session.destroy();
  return { seen, resetCode: stream.rstCode, sentBytes: proxy.sentBytes() };
}

describe("HTTP/2: an upload is reset without an error after the answer", () => {
  it.each([
    [send, "application/grpc", ["status 200", "grpc-status 16", "end"]],
    [send, "application/proto", ["status 401", "end"]],
    [send, "application/connect+proto", ["status 200", "end"]],
    [unknown, "application/grpc", ["status 200", "grpc-status 16", "end"]],
    [unknown, "application/proto", ["status 401", "end"]],
    [unknown, "application/connect+proto", ["status 200", "end"]],
  ])("that is refused: %s as %s", async (path, contentType, answer) => {
    const { seen, resetCode, sentBytes } = await uploadOver2(path, contentType, Buffer.alloc(0));
    expect([seen, resetCode]).toEqual([answer, 0]);
    expect(sentBytes).toBeLessThan(2 * mebibyte);
  });

  it("that is larger than its RPC allows", async () => {
    // The prefix of a gRPC message of 100 MiB.
    const prefix = Buffer.from([0, 0x06, 0x40, 0, 0]);
    const { seen, resetCode, sentBytes } = await uploadOver2(
      "/countersign.example.v1.Mailbox/OpenSession",
      "application/grpc",
      prefix,
    );
    expect([seen, resetCode]).toEqual([["status 200", "grpc-status 8", "end"], 0]);
    expect(sentBytes).toBeLessThan(3 * mebibyte);
  });
});

it.each([["application/grpc"], ["application/proto"]])(
  "HTTP/2: an upload as %s is reset in the turn in which it is read, after its answer",
  async (contentType) => {
    const socket = await openSocket(mailbox.server.port);
    const reader = new FrameReader(socket);
    socket.write(hello);
    await reader.next(({ type, flags }) => type === frameType.settings && flags === 0);
    // Node reads it in one turn, 64 KiB at a time. More would not go to the kernel in one piece.
    const piece = frame(frameType.data, 0, 1, Buffer.alloc(16 * 1024));
    socket.write(
      Buffer.concat([
        frame(frameType.settings, ack, 0),
        requestHeaders(1, send, contentType),
        ...Array.from({ length: 14 }, () => piece),
        frame(frameType.ping, 0, 0, Buffer.alloc(8)),
      ]),
    );
    const told = [];
    while (told.at(-1) !== frameType.ping) {
      const received = await reader.next(
        ({ type, streamId, flags }) => streamId === 1 || (type === frameType.ping && flags === ack),
      );
      told.push(received?.type);
    }
    socket.destroy();
    expect(told).toEqual(
      contentType === "application/grpc"
        ? [frameType.headers, frameType.resetStream, frameType.ping]
        : [frameType.headers, frameType.data, frameType.resetStream, frameType.ping],
    );
  },
);

describe("HTTP/1.1: a refused upload", () => {
  it.each([
    ["of a known length", `Content-Length: ${100 * mebibyte}\r\n\r\n`],
    ["of an unknown length", "Transfer-Encoding: chunked\r\n\r\n6400000\r\n"],
  ])("%s closes the connection after the answer", async (_, head) => {
    const socket = await openSocket(mailbox.server.port);
    const received = readToEnd(socket);
    socket.write(`POST ${send} HTTP/1.1\r\nHost: h\r\nContent-Type: application/proto\r\n${head}`);
    const chunk = Buffer.alloc(mebibyte);
    const sendOn = () => {
      while (!socket.destroyed && socket.write(chunk)) {}
    };
    socket.on("drain", sendOn);
    sendOn();
    const answer = await received;
    expect(answer).toMatch(/^HTTP\/1\.1 401 /);
    expect(answer).toContain("Authentication failed.");
    expect(socket.bytesWritten).toBeLessThan(20 * mebibyte);
  });

  it("that waits for 100 Continue is never asked for its body", async () => {
    const socket = await openSocket(mailbox.server.port);
    const received = readToEnd(socket);
    socket.write(
      `POST ${send} HTTP/1.1\r\nHost: h\r\nContent-Type: application/proto\r\n` +
        "Content-Length: 100\r\nExpect: 100-continue\r\n\r\n",
    );
    expect(await received).toMatch(/^HTTP\/1\.1 401 .*\r\n(?:.*\r\n)*connection: close\r\n/i);
  });

  it("that is small keeps the connection, also if its body comes after the headers", async () => {
    const socket = await openSocket(mailbox.server.port);
    const received = readToEnd(socket);
    for (const last of ["", "Connection: close\r\n"]) {
      socket.write(
        `POST ${send} HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n` +
          `Transfer-Encoding: chunked\r\n${last}\r\n`,
      );
      // Lets the server handle the headers first.
      await new Promise((resolve) => setTimeout(resolve, 5));
      socket.write("2\r\n{}\r\n0\r\n\r\n");
    }
    expect((await received).match(/HTTP\/1\.1 401 /g)).toHaveLength(2);
  });
});

it("asks for the body of an admitted call that waits for 100 Continue", async () => {
  const socket = await openSocket(mailbox.server.port);
  const received = readToEnd(socket);
  socket.write(
    `POST ${send} HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nConnection: close\r\n` +
      "mailbox-session: letmein\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n",
  );
  socket.once("data", () => socket.write("{}"));
  expect(await received).toMatch(/^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 /);
});
