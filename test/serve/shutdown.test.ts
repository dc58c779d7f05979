import { once } from "node:events";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import { type Server, serve } from "countersign/serve";
import { describe, expect, it } from "vitest";
import { Mailbox } from "../../gen/countersign/example/v1/mailbox_pb.ts";
import { FrameReader } from "./frame-reader.ts";
import { endHeaders, endStream, frameType, hello, requestHeaders } from "./http2-frames.ts";
import { header, serveMailbox } from "./mailbox-server.ts";
import { http2Request, openHttp2, openSocket, readToEnd } from "./raw-http.ts";

const service = "/countersign.example.v1.Mailbox";

/** Waits until a handler has begun, without sleeping. */
async function begun(log: { readonly began: readonly string[] }, count: number): Promise<void> {
  while (log.began.length < count) {
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Waits until an RPC has been counted. */
async function watched(server: Server, method: string): Promise<void> {
  while (!server.counters().some((count) => count.method === method && count.allowed > 0)) {
    await new Promise((resolve) => setImmediate(resolve));
  }
}

describe("a shutdown", () => {
  it.each([
    ["gRPC", createGrpcTransport],
    [
      "Connect on HTTP/1.1",
      ({ baseUrl }: { baseUrl: string }) => createConnectTransport({ baseUrl, httpVersion: "1.1" }),
    ],
  ])("lets open calls finish: %s", async (_, makeTransport) => {
    await using mailbox = await serveMailbox({ holdSendLetter: true });
    const client = createClient(Mailbox, makeTransport({ baseUrl: mailbox.server.url }));
    const call = client.sendLetter({}, { headers: header });
    await begun(mailbox.log, 1);
    const closed = mailbox.server.close();
    mailbox.log.release();
    expect((await call).mailboxId).toBe(7n);
    await closed;
    await expect(client.getBulletin({})).rejects.toSatisfy(
      (reason) => ConnectError.from(reason).code === Code.Unavailable,
    );
  });

  it("says on HTTP/2 which calls are still answered", async () => {
    await using mailbox = await serveMailbox({ holdSendLetter: true });
    const socket = await openSocket(mailbox.server.port);
    const frames = new FrameReader(socket);
    const call = (id: number) =>
      requestHeaders(id, `${service}/SendLetter`, "application/proto", endHeaders | endStream, [
        ["mailbox-session", "letmein"],
      ]);
    socket.write(Buffer.concat([hello, call(1)]));
    await begun(mailbox.log, 1);
    const closed = mailbox.server.close();
    const goaway = await frames.next(({ type }) => type === frameType.goaway);
    expect([goaway?.payload.readUInt32BE(0), goaway?.payload.readUInt32BE(4)]).toEqual([1, 0]);
    socket.write(call(3));
    mailbox.log.release();
    expect(await frames.next((f) => f.type === frameType.headers)).toMatchObject({ streamId: 1 });
    expect(await frames.next((f) => f.streamId === 3)).toBeUndefined();
    await closed;
    expect(mailbox.log.began).toEqual(["sendLetter"]);
  });

  it("refuses calls that still get through with Unavailable, but tells its health", async () => {
    await using mailbox = await serveMailbox({ holdSendLetter: true });
    const socket = await openSocket(mailbox.server.port);
    const received = readToEnd(socket);
    const request = (path: string) =>
      `POST ${path} HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n` +
      "mailbox-session: letmein\r\nContent-Length: 2\r\n\r\n{}";
    socket.write(request(`${service}/SendLetter`));
    await begun(mailbox.log, 1);
    const closed = mailbox.server.close();
    const paths = ["GetBulletin", "SendLetter", "NoSuchMethod"].map((name) => `${service}/${name}`);
    socket.write([...paths, "/grpc.health.v1.Health/Check"].map(request).join(""));
    await watched(mailbox.server, "Check");
    mailbox.log.release();
    const bodies = (await received).match(/\{[^{}]*\}/g);
    const refusal = '{"code":"unavailable","message":"The server takes no more calls at present."}';
    expect(bodies).toEqual([
      '{"mailboxId":"7"}',
      refusal,
      refusal,
      refusal,
      '{"status":"NOT_SERVING"}',
    ]);
    expect(mailbox.log.began).toEqual(["sendLetter"]);
    await closed;
  });

  it("ends a kept HTTP/1.1 connection after the answers that are due", async () => {
    await using mailbox = await serveMailbox({ holdSendLetter: true });
    const idle = await openSocket(mailbox.server.port);
    const idleEnd = readToEnd(idle);
    const socket = await openSocket(mailbox.server.port);
    const received = readToEnd(socket);
    const request = (path: string) =>
      `POST ${service}/${path} HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n` +
      "mailbox-session: letmein\r\nContent-Length: 2\r\n\r\n{}";
    socket.write(request("SendLetter"));
    await begun(mailbox.log, 1);
    const closed = mailbox.server.close();
    await idleEnd;
    mailbox.log.release();
    expect(await received).toMatch(/^HTTP\/1\.1 200 OK\r\n(?:.*\r\n)*connection: close\r\n/i);
    await closed;
  });

  it("aborts what does not finish in time, with Unavailable", async () => {
    await using mailbox = await serveMailbox();
    const client = createClient(Mailbox, createGrpcTransport({ baseUrl: mailbox.server.url }));
    const letters = client.watchLetters({}, { headers: header })[Symbol.asyncIterator]();
    await letters.next();
    const closed = mailbox.server.close({ graceMs: 20 });
    await expect(letters.next()).rejects.toBeInstanceOf(ConnectError);
    await closed;
    expect(ConnectError.from(mailbox.log.watches[0]?.reason).code).toBe(Code.Unavailable);
  });

  it("does not wait for handlers that never end", async () => {
    await using mailbox = await serveMailbox({ holdSendLetter: true });
    const client = createClient(Mailbox, createGrpcTransport({ baseUrl: mailbox.server.url }));
    const call = client.sendLetter({}, { headers: header }).catch((reason: unknown) => reason);
    await begun(mailbox.log, 1);
    await mailbox.server.close({ graceMs: 20 });
    expect(ConnectError.from(await call).code).toBe(Code.Unavailable);
  });

  it("closes idle connections, also those that have sent nothing or half a request", async () => {
    await using mailbox = await serveMailbox();
    const session = openHttp2(mailbox.server.url);
    await http2Request(session, { ":method": "GET", ":path": "/" });
    const silent = await openSocket(mailbox.server.port);
    const half = await openSocket(mailbox.server.port);
    half.write("POST / HTTP/1.1\r\nHost:");
    const ends = [
      once(session, "close"),
      readToEnd(silent),
      readToEnd(half),
      mailbox.server.close({ graceMs: 60_000 }),
    ];
    await Promise.all(ends);
  });

  it("happens once, whoever asks and however often", async () => {
    const stop = new AbortController();
    const mailbox = await serveMailbox({ shutdownSignal: stop.signal });
    stop.abort();
    await Promise.all([
      mailbox.server.close(),
      mailbox.server.close({ graceMs: 1 }),
      mailbox.server[Symbol.asyncDispose](),
    ]);
    await mailbox.server.close();
    // The port is free again.
    await using next = await serveMailbox({ port: mailbox.server.port });
    expect(next.server.port).toBe(mailbox.server.port);
  });

  it.each([Number.NaN, -1, Number.POSITIVE_INFINITY])(
    "refuses a grace of %d ms",
    async (graceMs) => {
      await using mailbox = await serveMailbox();
      await expect(mailbox.server.close({ graceMs })).rejects.toThrow(/^"graceMs" must be/);
    },
  );
});

it("says where it listens", async () => {
  await using mailbox = await serveMailbox();
  expect(mailbox.server.url).toBe(`http://127.0.0.1:${mailbox.server.port}`);
  await using everywhere = await serveMailbox({ host: "0.0.0.0" });
  expect(everywhere.server.url).toBe(`http://127.0.0.1:${everywhere.server.port}`);
});

it("rejects when the port is taken", async () => {
  await using mailbox = await serveMailbox();
  await expect(serveMailbox({ port: mailbox.server.port })).rejects.toThrow("EADDRINUSE");
});

it("refuses what a guard refuses", async () => {
  await expect(serve({ services: [], verifiers: {}, port: 0, health: false })).rejects.toThrow(
    '"services" must list at least one service',
  );
});

it.each([
  [{ host: "" }, /^"host" must be/],
  [{ port: -1 }, /^"port" must be/],
  [{ port: Number.NaN }, /^"port" must be/],
  [{ port: 65_536 }, /^"port" must be/],
])("refuses to start with %j", async (options, message) => {
  await expect(serveMailbox(options)).rejects.toThrow(message);
});
