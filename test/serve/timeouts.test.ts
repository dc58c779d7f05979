import { once } from "node:events";
import { describe, expect, it } from "vitest";
import { Health } from "../../gen/grpc/health/v1/health_pb.ts";
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
import { aborted, header, serveMailbox } from "./mailbox-server.ts";
import { http1Request, http2Request, openHttp2, openSocket, readToEnd } from "./raw-http.ts";

const service = "/countersign.example.v1.Mailbox";

describe("headers that do not arrive in time close the connection", () => {
  it.each([
    ["nothing at all", ""],
    ["half a preface", "PRI * HTTP/2.0\r\n"],
    ["half a request", `POST ${service}/GetBulletin HTTP/1.1\r\nHost: h\r\n`],
  ])("%s", async (_, start) => {
    await using mailbox = await serveMailbox({ limits: { headersTimeoutMs: 30 } });
    const socket = await openSocket(mailbox.server.port);
    const received = readToEnd(socket);
    socket.write(start);
    expect(await received).toBe("");
  });

  it("one byte after the other", async () => {
    await using mailbox = await serveMailbox({ limits: { headersTimeoutMs: 60 } });
    const socket = await openSocket(mailbox.server.port);
    const received = readToEnd(socket);
    socket.write("POST / HTTP/1.1\r\nx: ");
    const drip = setInterval(() => socket.write("y"), 5);
    expect(await received).toBe("");
    clearInterval(drip);
  });

  it("of a second request on a kept connection", async () => {
    await using mailbox = await serveMailbox({
      limits: { headersTimeoutMs: 300, idleTimeoutMs: 1 },
    });
    const socket = await openSocket(mailbox.server.port);
    const received = readToEnd(socket);
    socket.write(http1Request("GET", "/", { connection: "keep-alive" }));
    socket.once("data", () => socket.write("GET / HTTP/1.1\r\n"));
    expect((await received).match(/HTTP\/1\.1 /g)).toHaveLength(1);
  });
});

it("does not cut off a call that takes longer than any timeout of headers and bodies", async () => {
  await using mailbox = await serveMailbox({
    holdSendLetter: true,
    limits: { headersTimeoutMs: 200, bodyTimeoutMs: 200, idleTimeoutMs: 200 },
  });
  const socket = await openSocket(mailbox.server.port);
  const received = readToEnd(socket);
  const type = { "content-type": "application/json", ...header };
  socket.write(http1Request("POST", `${service}/SendLetter`, type, "{}"));
  setTimeout(() => mailbox.log.release(), 600);
  expect(await received).toMatch(/^HTTP\/1\.1 200 /);
});

describe("a body that does not arrive in time ends the call with deadline_exceeded", () => {
  it.each([
    ["of an open RPC", "GetBulletin", {}],
    ["of a protected RPC", "SendLetter", header],
  ])("%s", async (_, name, headers) => {
    await using mailbox = await serveMailbox({ limits: { bodyTimeoutMs: 30 } });
    const session = openHttp2(mailbox.server.url);
    const stream = session.request({
      ":method": "POST",
      ":path": `${service}/${name}`,
      "content-type": "application/json",
      ...headers,
    });
    stream.on("error", () => {});
    stream.write("{");
    const chunks: Buffer[] = [];
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    await once(stream, "close");
    expect(JSON.parse(Buffer.concat(chunks).toString())).toMatchObject({
      code: "deadline_exceeded",
    });
    session.destroy();
  });

  it("drop by drop, of an open RPC; a protected one may go on", async () => {
    await using mailbox = await serveMailbox({ limits: { bodyTimeoutMs: 500 } });
    const session = openHttp2(mailbox.server.url);
    const drip = async (name: string) => {
      const stream = session.request({
        ":method": "POST",
        ":path": `${service}/${name}`,
        "content-type": "application/json",
        ...header,
      });
      stream.on("error", () => {});
      stream.write("{");
      const drops = setInterval(() => stream.writable && stream.write(" "), 20);
      const end = setTimeout(() => stream.writable && stream.end("}"), 1_000);
      const [headers] = await once(stream, "response");
      clearInterval(drops);
      clearTimeout(end);
      stream.close();
      return headers[":status"];
    };
    expect(await Promise.all([drip("GetBulletin"), drip("SendLetter")])).toEqual([504, 200]);
    session.destroy();
  });
});

describe("a connection without calls is closed", () => {
  it("over HTTP/2, whatever else is sent on it", async () => {
    await using mailbox = await serveMailbox({ limits: { idleTimeoutMs: 300 } });
    const session = openHttp2(mailbox.server.url);
    await http2Request(session, { ":method": "GET", ":path": "/" });
    const pings = setInterval(() => !session.closed && session.ping(() => {}), 10);
    const [code, lastStreamId] = await once(session, "goaway");
    expect([code, lastStreamId]).toEqual([0, 1]);
    clearInterval(pings);
    session.destroy();
  });

  it("over HTTP/1.1", async () => {
    await using mailbox = await serveMailbox({
      limits: { idleTimeoutMs: 1, headersTimeoutMs: 300 },
    });
    const socket = await openSocket(mailbox.server.port);
    const received = readToEnd(socket);
    socket.write(http1Request("GET", "/", { connection: "keep-alive" }));
    expect(await received).toMatch(/^HTTP\/1\.1 415 /);
  });
});

describe("a connection with calls is pinged", () => {
  const keepaliveIntervalMs = 30;

  async function watch(port: number) {
    const socket = await openSocket(port);
    const frames = new FrameReader(socket);
    socket.write(
      Buffer.concat([
        hello,
        requestHeaders(1, `${service}/WatchLetters`, "application/connect+json", endHeaders, [
          ["mailbox-session", "letmein"],
        ]),
        frame(frameType.data, endStream, 1, Buffer.from([0, 0, 0, 0, 2, 0x7b, 0x7d])),
      ]),
    );
    return { socket, frames };
  }

  it("and closed if it does not answer", async () => {
    await using mailbox = await serveMailbox({
      limits: { keepaliveIntervalMs, keepaliveTimeoutMs: 60 },
    });
    const { frames } = await watch(mailbox.server.port);
    const isPing = ({ type, flags }: { type: number; flags: number }) =>
      type === frameType.ping && flags === 0;
    expect(await frames.next(isPing)).toBeDefined();
    // Until the connection's end.
    await frames.next(() => false);
    await aborted(mailbox.log.watches[0]);
  });

  it("and kept if it does", async () => {
    await using mailbox = await serveMailbox({ limits: { keepaliveIntervalMs } });
    const { socket, frames } = await watch(mailbox.server.port);
    for (let answered = 0; answered < 5; answered++) {
      const ping = await frames.next(({ type, flags }) => type === frameType.ping && flags === 0);
      socket.write(frame(frameType.ping, ack, 0, ping?.payload));
    }
    expect(mailbox.log.watches[0]?.aborted).toBe(false);
    socket.destroy();
  });
});

it.each([
  ["maxConcurrentStreams", 0],
  ["maxConcurrentCalls", Number.NaN],
  ["maxConnections", -1],
  ["maxHeaderBytes", 10],
  ["maxHeaderCount", 1.5],
  ["headersTimeoutMs", Number.NaN],
  ["bodyTimeoutMs", -5],
  ["idleTimeoutMs", Number.POSITIVE_INFINITY],
  ["keepaliveIntervalMs", 0],
  ["keepaliveTimeoutMs", 2 ** 31],
  ["streamWindowBytes", 3 * 1024 * 1024],
  ["writeMaxBytes", Number.NaN],
  ["maxUnsentBytes", 1024 * 1024 - 1],
  ["answerTimeoutMs", 0],
])('refuses to start with "%s" %d', async (name, value) => {
  const start = serveMailbox({ limits: { [name]: value } });
  await expect(start).rejects.toBeInstanceOf(TypeError);
  await expect(start).rejects.toThrow(`"${name}" must be an integer from`);
});

it("refuses limits of RPCs that are not served, and of messages that are no size", async () => {
  await expect(
    serveMailbox({ limits: { exemptFromShedding: [Health.method.check] }, health: false }),
  ).rejects.toThrow('"exemptFromShedding" names grpc.health.v1.Health.Check, which is not served');
  for (const size of [{ readMaxBytes: Number.NaN }, { openReadMaxBytes: -1 }]) {
    await expect(serveMailbox(size)).rejects.toBeInstanceOf(TypeError);
  }
});
