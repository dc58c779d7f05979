import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from "@connectrpc/connect-node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Mailbox } from "../../gen/countersign/example/v1/mailbox_pb.ts";
import { header, type MailboxServer, serveMailbox } from "./mailbox-server.ts";

type MakeTransport = (baseUrl: string) => Transport;

const transports: [name: string, make: MakeTransport, bidi: boolean][] = [
  ["gRPC on h2c", (baseUrl) => createGrpcTransport({ baseUrl }), true],
  [
    "gRPC-web on HTTP/1.1",
    (baseUrl) => createGrpcWebTransport({ baseUrl, httpVersion: "1.1" }),
    false,
  ],
  ["gRPC-web on h2c", (baseUrl) => createGrpcWebTransport({ baseUrl, httpVersion: "2" }), true],
  [
    "Connect on HTTP/1.1",
    (baseUrl) => createConnectTransport({ baseUrl, httpVersion: "1.1" }),
    false,
  ],
  ["Connect on h2c", (baseUrl) => createConnectTransport({ baseUrl, httpVersion: "2" }), true],
  [
    "Connect JSON with GET on HTTP/1.1",
    (baseUrl) =>
      createConnectTransport({
        baseUrl,
        httpVersion: "1.1",
        useBinaryFormat: false,
        useHttpGet: true,
      }),
    false,
  ],
];

async function* letters(count: number) {
  for (let i = 0; i < count; i++) {
    yield { letter: { text: `number ${i}` } };
  }
}

describe.each(transports)("%s", (_, makeTransport, hasBidi) => {
  let mailbox: MailboxServer;
  let client: ReturnType<typeof createClient<typeof Mailbox>>;
  beforeAll(async () => {
    mailbox = await serveMailbox();
    client = createClient(Mailbox, makeTransport(mailbox.server.url));
  });
  afterAll(() => mailbox[Symbol.asyncDispose]());

  it("serves an open unary RPC", async () => {
    expect((await client.getBulletin({})).text).toBe("hello");
  });

  it("serves a protected unary RPC", async () => {
    expect((await client.countLetters({}, { headers: header })).count).toBe(3);
    expect((await client.sendLetter({}, { headers: header })).mailboxId).toBe(7n);
  });

  it("serves a server stream", async () => {
    const texts: (string | undefined)[] = [];
    for await (const { letter } of client.watchLetters({ limit: 3 }, { headers: header })) {
      texts.push(letter?.text);
    }
    expect(texts).toEqual(["letter 0", "letter 1", "letter 2"]);
  });

  it("serves a client stream", async () => {
    expect((await client.importLetters(letters(5), { headers: header })).count).toBe(5);
  });

  it.runIf(hasBidi)("serves a bidirectional stream", async () => {
    const texts: (string | undefined)[] = [];
    for await (const { letter } of client.converse(letters(2), { headers: header })) {
      texts.push(letter?.text);
    }
    expect(texts).toEqual(["re: number 0", "re: number 1"]);
  });

  it("carries messages of a megabyte both ways", async () => {
    const text = "x".repeat(1_000_000);
    const { mailboxId } = await client.sendLetter({ letter: { text } }, { headers: header });
    expect(mailboxId).toBe(7n);
  });

  it("refuses a protected RPC without a credential", async () => {
    const ran = mailbox.log.began.length;
    const calls = [
      client.countLetters({}),
      client.sendLetter({}),
      client.importLetters(letters(1)),
      client.watchLetters({})[Symbol.asyncIterator]().next(),
    ];
    for (const settled of await Promise.allSettled(calls)) {
      const { code, rawMessage } = ConnectError.from(
        settled.status === "rejected" ? settled.reason : undefined,
      );
      expect([code, rawMessage]).toEqual([Code.Unauthenticated, "Authentication failed."]);
    }
    expect(mailbox.log.began).toHaveLength(ran);
  });
});

it("reads and writes JSON as it is told to", async () => {
  const call = async (mailbox: MailboxServer) => {
    const response = await fetch(
      `${mailbox.server.url}/countersign.example.v1.Mailbox/GetBulletin`,
      {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: '{ "unheardOf": 1 }',
      },
    );
    return [response.status, await response.text()];
  };
  await using plain = await serveMailbox({ bulletin: "" });
  expect(await call(plain)).toEqual([200, "{}"]);
  await using chatty = await serveMailbox({
    bulletin: "",
    jsonOptions: { alwaysEmitImplicit: true },
  });
  expect(await call(chatty)).toEqual([200, '{"text":""}']);
  await using strict = await serveMailbox({ jsonOptions: { ignoreUnknownFields: false } });
  expect((await call(strict))[0]).toBe(400);
});
