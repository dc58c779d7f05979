import { once } from "node:events";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import { type DecisionEvent, service, unimplemented } from "countersign";
import { type ServeLimits, serve } from "countersign/serve";
import { describe, expect, it } from "vitest";
import { Mailbox } from "../../gen/countersign/example/v1/mailbox_pb.ts";
import { Health, HealthCheckResponse_ServingStatus } from "../../gen/grpc/health/v1/health_pb.ts";
import { FrameReader } from "./frame-reader.ts";
import { frameType, hello, requestHeaders } from "./http2-frames.ts";
import {
  header,
  type MailboxServer,
  mailboxPolicy,
  serveMailbox,
  token,
} from "./mailbox-server.ts";
import { http1Request, http2Request, openHttp2, openSocket, readToEnd } from "./raw-http.ts";

async function begun(mailbox: MailboxServer, count: number): Promise<void> {
  while (mailbox.log.began.length < count) {
    await new Promise((resolve) => setImmediate(resolve));
  }
}

function codeOf(reason: unknown): Code {
  return ConnectError.from(reason).code;
}

describe("a server with as many calls as it may have", () => {
  async function fullServer() {
    const mailbox = await serveMailbox({
      holdSendLetter: true,
      limits: { maxConcurrentCalls: 1, exemptFromShedding: [Mailbox.method.countLetters] },
    });
    const baseUrl = mailbox.server.url;
    const client = createClient(Mailbox, createGrpcTransport({ baseUrl }));
    const held = client.sendLetter({}, { headers: header });
    held.catch(() => {});
    await begun(mailbox, 1);
    return { mailbox, baseUrl, client, held };
  }

  it("refuses further ones with Unavailable, in every protocol, until one has ended", async () => {
    const { mailbox, baseUrl, client, held } = await fullServer();
    const connect = createClient(Mailbox, createConnectTransport({ baseUrl, httpVersion: "1.1" }));
    for (const call of [
      () => client.getBulletin({}),
      () => client.sendLetter({}, { headers: header }),
      () => client.watchLetters({}, { headers: header })[Symbol.asyncIterator]().next(),
      () => connect.getBulletin({}),
      () => connect.sendLetter({}, { headers: header }),
      () => connect.watchLetters({}, { headers: header })[Symbol.asyncIterator]().next(),
    ]) {
      await expect(call()).rejects.toSatisfy((reason) => codeOf(reason) === Code.Unavailable);
    }
    expect(mailbox.log.began).toEqual(["sendLetter"]);
    mailbox.log.release();
    await held;
    expect((await client.getBulletin({})).text).toBe("hello");
    await mailbox[Symbol.asyncDispose]();
  });

  it("serves exempt RPCs and its health", async () => {
    const { mailbox, baseUrl, client } = await fullServer();
    expect((await client.countLetters({}, { headers: header })).count).toBe(3);
    const health = createClient(Health, createGrpcTransport({ baseUrl }));
    for (let i = 0; i < 3; i++) {
      expect((await health.check({})).status).toBe(HealthCheckResponse_ServingStatus.SERVING);
    }
    const another = client.getBulletin({});
    await expect(another).rejects.toSatisfy((reason) => codeOf(reason) === Code.Unavailable);
    await mailbox[Symbol.asyncDispose]();
  });

  it.each<[name: string, fields: Record<string, string[]>]>([
    ["without a credential", {}],
    ["who send the right one twice", { "mailbox-session": [token, token] }],
  ])("tells callers %s no more than ever", async (_, fields) => {
    const { mailbox, baseUrl } = await fullServer();
    const session = openHttp2(baseUrl);
    const names = ["SendLetter", "CountLetters", "NoSuchMethod", "ImportLetters"];
    const answers = await Promise.all(
      names.map((name) =>
        http2Request(session, {
          ":method": "POST",
          ":path": `/countersign.example.v1.Mailbox/${name}`,
          "content-type": "application/grpc",
          ...fields,
        }),
      ),
    );
    expect(new Set(answers.map((answer) => JSON.stringify(answer))).size).toBe(1);
    expect(answers[0]?.headers.join()).toContain("grpc-status,16");
    session.destroy();
    await mailbox[Symbol.asyncDispose]();
  });

  it("counts calls that broke off as ended", async () => {
    const { mailbox, baseUrl, client, held } = await fullServer();
    const session = openHttp2(baseUrl);
    mailbox.log.release();
    await held;
    for (let i = 0; i < 5; i++) {
      const stream = session.request({
        ":method": "POST",
        ":path": "/countersign.example.v1.Mailbox/WatchLetters",
        "content-type": "application/grpc",
        ...header,
      });
      stream.on("error", () => {});
      stream.end(Buffer.alloc(5));
      await once(stream, "data");
      stream.close(8);
      await once(stream, "close");
    }
    session.destroy();
    expect((await client.getBulletin({})).text).toBe("hello");
    await mailbox[Symbol.asyncDispose]();
  });
});

describe("a server with as many requests open as it may have", () => {
  async function crowdedServer(limits: ServeLimits = { maxOpenRequests: 4 }, crowd = 4) {
    let release = () => {};
    const verifying = new Promise<void>((resolve) => {
      release = resolve;
    });
    const server = await serve({
      port: 0,
      limits: { ...limits, exemptFromShedding: [Mailbox.method.countLetters] },
      services: [
        service(mailboxPolicy, {
          getBulletin: () => ({ text: "hello" }),
          openSession: unimplemented,
          countLetters: () => ({ count: 3 }),
          sendLetter: unimplemented,
          watchLetters: unimplemented,
          importLetters: unimplemented,
          converse: unimplemented,
        }),
      ],
      verifiers: { session: () => verifying.then(() => undefined) },
    });
    const session = openHttp2(server.url);
    const send = (method: string, further: Record<string, string> = {}) =>
      http2Request(
        session,
        {
          ...further,
          ":method": "POST",
          ":path": `/countersign.example.v1.Mailbox/${method}`,
          "content-type": "application/grpc",
          ...header,
        },
        Buffer.alloc(5),
      );
    const waiting = Array.from({ length: crowd }, () => send("SendLetter"));
    return {
      baseUrl: server.url,
      port: server.port,
      send,
      waiting,
      release,
      [Symbol.asyncDispose]: async () => {
        release();
        session.destroy();
        await server.close({ graceMs: 1 });
      },
    };
  }

  it("refuses all others alike before it looks at them, known, exempt and unknown", async () => {
    await using crowd = await crowdedServer();
    const methods = ["SendLetter", "CountLetters", "GetBulletin", "NoSuchMethod"];
    const refused = await Promise.all(methods.map((method) => crowd.send(method)));
    expect(refused).toEqual(
      methods.map(() => ({ headers: [":status", "503"], body: "", trailers: [], resetCode: 0 })),
    );
    crowd.release();
    const answers = await Promise.all(crowd.waiting);
    for (const { headers } of [...answers, await crowd.send("NoSuchMethod")]) {
      expect(headers.join()).toContain("grpc-status,16");
    }
  });

  it("counts a request with many headers as several", async () => {
    await using crowd = await crowdedServer({ maxOpenRequests: 6 }, 0);
    const fields = Array.from({ length: 85 }, (_, i) => [`field-${i}`, "x".repeat(100)]);
    const send = () => crowd.send("NoSuchMethod", Object.fromEntries(fields));
    const waiting = [send(), send()];
    expect((await send()).headers).toEqual([":status", "503"]);
    crowd.release();
    expect((await Promise.all(waiting)).map(({ headers }) => headers[1])).toEqual(["200", "200"]);
  });

  it("counts requests, health calls and refusals only as long as they are open", async () => {
    await using crowd = await crowdedServer({ maxOpenRequests: 4, maxConcurrentCalls: 4 });
    const transport = createGrpcTransport({ baseUrl: crowd.baseUrl });
    const health = createClient(Health, transport);
    for (let i = 0; i < 10; i++) {
      const { status } = await health.check({});
      expect(status).toBe(HealthCheckResponse_ServingStatus.SERVING);
    }
    for (let i = 0; i < 1_100; i++) {
      expect((await crowd.send("SendLetter")).headers).toEqual([":status", "503"]);
    }
    crowd.release();
    await Promise.all(crowd.waiting);
    expect((await createClient(Mailbox, transport).getBulletin({})).text).toBe("hello");
  });

  it.each(["content-length: 30000", "transfer-encoding: chunked"])(
    "keeps a connection of HTTP/1.1 whose refused body comes in pieces, with %s",
    async (field) => {
      await using crowd = await crowdedServer({ maxOpenRequests: 1 }, 1);
      // So that the one is there before it.
      await crowd.send("GetBulletin");
      const socket = await openSocket(crowd.port);
      const received = readToEnd(socket);
      const piece = "x".repeat(10_000);
      const parts = field.endsWith("chunked")
        ? [...Array(3).fill(`2710\r\n${piece}\r\n`), "0\r\n\r\n"]
        : Array(3).fill(piece);
      const path = "/countersign.example.v1.Mailbox/GetBulletin";
      const json = "content-type: application/json\r\n";
      for (const part of [
        `POST ${path} HTTP/1.1\r\nhost: a\r\n${json}${field}\r\n\r\n`,
        ...parts,
      ]) {
        await new Promise((resolve) => socket.write(part, resolve));
        // The server, in this process, reads before the second one.
        await new Promise((resolve) => setImmediate(resolve));
        await new Promise((resolve) => setImmediate(resolve));
      }
      crowd.release();
      await Promise.all(crowd.waiting);
      socket.write(http1Request("POST", path, { "content-type": "application/json" }, "{}"));
      expect(await received).toMatch(/^HTTP\/1\.1 503 .*HTTP\/1\.1 200 .*"hello"/s);
    },
  );

  it("closes a connection once a thousand such refusals are under way", async () => {
    await using crowd = await crowdedServer({ maxOpenRequests: 1, maxConcurrentStreams: 3_000 }, 1);
    const socket = await openSocket(crowd.port);
    const frames = new FrameReader(socket);
    const path = "/countersign.example.v1.Mailbox/SendLetter";
    socket.write(
      Buffer.concat([
        hello,
        ...Array.from({ length: 2_000 }, (_, i) =>
          requestHeaders(2 * i + 1, path, "application/grpc"),
        ),
      ]),
    );
    const goaway = await frames.next(({ type }) => type === frameType.goaway);
    // ENHANCE_YOUR_CALM.
    expect(goaway?.payload.readUInt32BE(4)).toBe(11);
    socket.destroy();
  });

  it.each([
    ["gRPC", (baseUrl: string) => createGrpcTransport({ baseUrl })],
    [
      "Connect on HTTP/1.1",
      (baseUrl: string) => createConnectTransport({ baseUrl, httpVersion: "1.1" }),
    ],
  ])("is Unavailable to a client of %s, and tells its health", async (_, open) => {
    await using crowd = await crowdedServer();
    // So that the four are there before it.
    await crowd.send("GetBulletin");
    const transport = open(crowd.baseUrl);
    const bulletin = createClient(Mailbox, transport).getBulletin({});
    await expect(bulletin).rejects.toSatisfy((reason) => codeOf(reason) === Code.Unavailable);
    const { status } = await createClient(Health, transport).check({});
    expect(status).toBe(HealthCheckResponse_ServingStatus.SERVING);
  });
});

it("closes a connection of HTTP/1.1 on which more than ten requests are pipelined", async () => {
  await using mailbox = await serveMailbox({ holdSendLetter: true });
  const socket = await openSocket(mailbox.server.port);
  const request = http1Request(
    "POST",
    "/countersign.example.v1.Mailbox/SendLetter",
    { "content-type": "application/json", connection: "keep-alive", ...header },
    "{}",
  );
  socket.write(request.repeat(10));
  await begun(mailbox, 10);
  socket.write(request.repeat(2));
  expect(await readToEnd(socket)).toBe("");
  expect(mailbox.log.began).toHaveLength(10);
});

it("tells HTTP/2 clients how many calls a connection may have", async () => {
  await using mailbox = await serveMailbox({ limits: { maxConcurrentStreams: 7 } });
  const session = openHttp2(mailbox.server.url);
  const [settings] = await once(session, "remoteSettings");
  expect(settings).toMatchObject({ maxConcurrentStreams: 7, initialWindowSize: 1024 * 1024 });
  session.destroy();
});

it("makes clients wait that have as many calls as a connection may have", async () => {
  await using mailbox = await serveMailbox({
    limits: { maxConcurrentStreams: 1, maxConcurrentCalls: 1 },
  });
  const client = createClient(Mailbox, createGrpcTransport({ baseUrl: mailbox.server.url }));
  await client.getBulletin({});
  const answers = await Promise.all(Array.from({ length: 20 }, () => client.getBulletin({})));
  expect(answers).toHaveLength(20);
});

it("closes connections beyond the limit", async () => {
  await using mailbox = await serveMailbox({ limits: { maxConnections: 1 } });
  const first = await openSocket(mailbox.server.port);
  const second = await openSocket(mailbox.server.port);
  await once(second, "close");
  expect(first.destroyed).toBe(false);
  first.destroy();
});

it("answers a second call while megabytes of the first one's answer wait", async () => {
  await using mailbox = await serveMailbox({ bulletin: "x".repeat(32 * 1024 * 1024) });
  const session = openHttp2(mailbox.server.url);
  const ask = { ":method": "POST", "content-type": "application/json" };
  const slow = session.request({ ...ask, ":path": "/countersign.example.v1.Mailbox/GetBulletin" });
  slow.on("error", () => {});
  slow.end("{}");
  await once(slow, "response");
  const answer = await http2Request(
    session,
    { ...ask, ":path": "/countersign.example.v1.Mailbox/CountLetters", ...header },
    Buffer.from("{}"),
  );
  expect(answer.body).toBe('{"count":3}');
  session.destroy();
});

it("reports refusals and counts calls", async () => {
  const events: DecisionEvent[] = [];
  await using mailbox = await serveMailbox({ onDecision: (event) => events.push(event) });
  const client = createClient(Mailbox, createGrpcTransport({ baseUrl: mailbox.server.url }));
  await client.countLetters({}, { headers: header });
  await client.countLetters({}).catch(() => {});
  await client.countLetters({}, { headers: [["mailbox-session", "wrong"]] }).catch(() => {});
  const session = openHttp2(mailbox.server.url);
  const ask = { ":method": "POST", "content-type": "application/grpc" };
  await http2Request(session, { ...ask, ":path": "/no.such.Service/Method" });
  await http2Request(session, {
    ...ask,
    ":path": "/countersign.example.v1.Mailbox/CountLetters",
    "content-type": "application/connect+proto",
  });
  session.destroy();
  expect(events.map(({ method, reason }) => [method, reason])).toEqual([
    ["CountLetters", "missing"],
    ["CountLetters", "unknown"],
    ["/no.such.Service/Method", "unknown RPC"],
    ["CountLetters", "missing"],
  ]);
  const counters = mailbox.server.counters();
  expect(counters).toContainEqual({
    service: "countersign.example.v1.Mailbox",
    method: "CountLetters",
    allowed: 1,
    refused: 3,
    unavailable: 0,
  });
  const unknown = { service: "", method: "", allowed: 0, refused: 1, unavailable: 0 };
  expect(counters).toContainEqual(unknown);
});

it("refuses a credential that was sent twice, be it the right one", async () => {
  const events: DecisionEvent[] = [];
  await using mailbox = await serveMailbox({ onDecision: (event) => events.push(event) });
  const socket = await openSocket(mailbox.server.port);
  socket.write(
    "POST /countersign.example.v1.Mailbox/CountLetters HTTP/1.1\r\nHost: h\r\n" +
      "Content-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n" +
      "mailbox-session: letmein\r\nmailbox-session: letmein\r\n\r\n{}",
  );
  const [answer] = await once(socket, "data");
  expect(String(answer)).toMatch(/^HTTP\/1\.1 401 /);
  expect(events[0]?.reason).toBe("header mailbox-session was sent 2 times");
});
