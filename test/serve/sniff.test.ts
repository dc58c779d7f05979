import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { FrameReader } from "./frame-reader.ts";
import { endHeaders, endStream, frameType, hello, requestHeaders } from "./http2-frames.ts";
import { type MailboxServer, serveMailbox } from "./mailbox-server.ts";
import { http1Request, openSocket, readToEnd, sendBytes } from "./raw-http.ts";

const bulletin = "/countersign.example.v1.Mailbox/GetBulletin";

let mailbox: MailboxServer;
beforeAll(async () => {
  mailbox = await serveMailbox();
});
afterAll(() => mailbox[Symbol.asyncDispose]());

/** Sends bytes in pieces of a size, each in a packet of its own. */
async function drip(
  socket: Awaited<ReturnType<typeof openSocket>>,
  bytes: Buffer,
  size: number,
): Promise<void> {
  socket.setNoDelay(true);
  for (let at = 0; at < bytes.length; at += size) {
    await new Promise((resolve) => socket.write(bytes.subarray(at, at + size), resolve));
    await new Promise((resolve) => setImmediate(resolve));
  }
}

describe.each([1, 2, 7, 23, 24, 25, 1_000])("in pieces of %d bytes", (size) => {
  it("HTTP/1.1 is understood", async () => {
    const socket = await openSocket(mailbox.server.port);
    const received = readToEnd(socket);
    const request = http1Request("POST", bulletin, { "content-type": "application/json" }, "{}");
    await drip(socket, Buffer.from(request), size);
    expect(await received).toMatch(/^HTTP\/1\.1 200 OK\r\n.*\{"text":"hello"\}$/s);
  });

  it("HTTP/2 is understood", async () => {
    const socket = await openSocket(mailbox.server.port);
    const frames = new FrameReader(socket);
    const call = requestHeaders(1, bulletin, "application/proto", endHeaders | endStream);
    await drip(socket, Buffer.concat([hello, call]), size);
    const data = await frames.next(({ type }) => type === frameType.data);
    expect(String(data?.payload)).toContain("hello");
    socket.destroy();
  });
});

it.each([
  ["a method that begins like the preface", http1Request("PROPFIND", "/", {}), /^HTTP\/1\.1 405 /],
  ["half a preface, then something else", "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", /^HTTP\/1\.1 400 /],
  ["CONNECT", "CONNECT h:80 HTTP/1.1\r\nHost: h:80\r\n\r\n", /^$/],
  [
    "an upgrade to h2c, which is not taken",
    http1Request("POST", bulletin, {
      "content-type": "application/json",
      upgrade: "h2c",
      connection: "upgrade, close",
    }),
    /^HTTP\/1\.1 (?:200|400) /,
  ],
])("answers or closes %s", async (_, bytes, answer) => {
  expect(await sendBytes(mailbox.server.port, bytes)).toMatch(answer);
});

it("answers requests that came in one packet in their order", async () => {
  const request = (path: string, connection: string) =>
    http1Request(
      "POST",
      `/countersign.example.v1.Mailbox/${path}`,
      { "content-type": "application/json", connection },
      "{}",
    );
  const answer = await sendBytes(
    mailbox.server.port,
    request("GetBulletin", "keep-alive") +
      request("CountLetters", "keep-alive") +
      request("GetBulletin", "close"),
  );
  expect(answer.match(/HTTP\/1\.1 \d+/g)).toEqual(["HTTP/1.1 200", "HTTP/1.1 401", "HTTP/1.1 200"]);
});
