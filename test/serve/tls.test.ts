import { once } from "node:events";
import { connect as connectTls } from "node:tls";
import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from "@connectrpc/connect-node";
import { generate } from "selfsigned";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Mailbox } from "../../gen/countersign/example/v1/mailbox_pb.ts";
import { header, type MailboxServer, serveMailbox } from "./mailbox-server.ts";
import { http1Request, openSocket, readToEnd } from "./raw-http.ts";

interface Certificate {
  readonly cert: string;
  readonly key: string;
}

async function makeCertificates(): Promise<{ server: Certificate; client: Certificate }> {
  const made = await generate([{ name: "commonName", value: "localhost" }], {
    keyType: "ec",
    algorithm: "sha256",
    extensions: [
      { name: "basicConstraints", cA: true },
      { name: "keyUsage", digitalSignature: true, keyCertSign: true },
      {
        name: "subjectAltName",
        altNames: [
          { type: 2, value: "localhost" },
          { type: 7, ip: "127.0.0.1" },
        ],
      },
    ],
    clientCertificate: { cn: "a caller", keyType: "ec", algorithm: "sha256" },
  });
  return {
    server: { cert: made.cert, key: made.private },
    client: { cert: made.clientcert ?? "", key: made.clientprivate ?? "" },
  };
}

let certificates: Awaited<ReturnType<typeof makeCertificates>>;
let mailbox: MailboxServer;
beforeAll(async () => {
  certificates = await makeCertificates();
  mailbox = await serveMailbox({ tls: certificates.server, limits: { headersTimeoutMs: 200 } });
});
afterAll(() => mailbox[Symbol.asyncDispose]());

type MakeTransport = (baseUrl: string, nodeOptions: { ca: string }) => Transport;

describe.each<[string, MakeTransport]>([
  ["gRPC", (baseUrl, nodeOptions) => createGrpcTransport({ baseUrl, nodeOptions })],
  [
    "gRPC-web on HTTP/2",
    (baseUrl, nodeOptions) => createGrpcWebTransport({ baseUrl, httpVersion: "2", nodeOptions }),
  ],
  [
    "Connect on HTTP/1.1",
    (baseUrl, nodeOptions) => createConnectTransport({ baseUrl, httpVersion: "1.1", nodeOptions }),
  ],
])("%s over TLS", (_, makeTransport) => {
  it("serves, and refuses", async () => {
    expect(mailbox.server.url).toMatch(/^https:/);
    const transport = makeTransport(mailbox.server.url, { ca: certificates.server.cert });
    const client = createClient(Mailbox, transport);
    expect((await client.countLetters({}, { headers: header })).count).toBe(3);
    await expect(client.countLetters({})).rejects.toSatisfy(
      (reason) => ConnectError.from(reason).code === Code.Unauthenticated,
    );
  });

  it("is not trusted by a client that does not know the certificate", async () => {
    const other = await makeCertificates();
    const client = createClient(
      Mailbox,
      makeTransport(mailbox.server.url, { ca: other.server.cert }),
    );
    await expect(client.getBulletin({})).rejects.toBeInstanceOf(ConnectError);
  });
});

it("speaks HTTP/1.1 with a client that does not negotiate", async () => {
  const socket = connectTls({
    port: mailbox.server.port,
    host: "127.0.0.1",
    ca: certificates.server.cert,
  });
  const received = readToEnd(socket);
  socket.write(http1Request("GET", "/", {}));
  expect(await received).toMatch(/^HTTP\/1\.1 415 /);
});

describe("closes a connection", () => {
  it.each([
    ["that speaks HTTP without TLS", http1Request("GET", "/", {})],
    ["that speaks gibberish", "gibberish\r\n\r\n"],
    ["that shakes no hands", ""],
  ])("%s", async (_, bytes) => {
    const socket = await openSocket(mailbox.server.port);
    const received = readToEnd(socket);
    socket.write(bytes);
    expect(await received).not.toContain("HTTP/1.1 200");
  });
});

describe("with client certificates", () => {
  it("takes callers that have one, and no others", async () => {
    await using strict = await serveMailbox({
      tls: { ...certificates.server, ca: certificates.server.cert, requestCert: true },
    });
    const ca = certificates.server.cert;
    const clientWith = (nodeOptions: { ca: string; cert?: string; key?: string }) =>
      createClient(Mailbox, createGrpcTransport({ baseUrl: strict.server.url, nodeOptions }));
    const known = clientWith({ ca, ...certificates.client });
    expect((await known.getBulletin({})).text).toBe("hello");
    const stranger = await makeCertificates();
    for (const client of [clientWith({ ca }), clientWith({ ca, ...stranger.client })]) {
      await expect(client.getBulletin({})).rejects.toBeInstanceOf(ConnectError);
    }
    expect(strict.log.began).toEqual(["getBulletin"]);
  });
});

it("shuts down while hands are being shaken", async () => {
  await using shaking = await serveMailbox({ tls: certificates.server });
  const socket = await openSocket(shaking.server.port);
  const closed = once(socket, "close");
  await shaking.server.close({ graceMs: 1 });
  await closed;
});

it("rejects a certificate that is none, without showing the key", async () => {
  const start = serveMailbox({ tls: { cert: "none", key: "very secret" } });
  await expect(start).rejects.toThrow();
  await expect(start.catch((reason: unknown) => String(reason))).resolves.not.toContain("secret");
});

it("does not start without a certificate", async () => {
  for (const tls of [{}, { cert: "c" }, { key: "k" }]) {
    await expect(serveMailbox({ tls })).rejects.toThrow(/^"tls" needs "cert" and "key"/);
  }
});
