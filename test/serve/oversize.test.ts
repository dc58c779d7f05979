import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import {
  compressionGzip,
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from "@connectrpc/connect-node";
import { refusal, service, unimplemented } from "countersign";
import { type Server, serve } from "countersign/serve";
import { describe, expect, it } from "vitest";
import { Mailbox } from "../../gen/countersign/example/v1/mailbox_pb.ts";
import { header, mailboxPolicy, serveMailbox, token } from "./mailbox-server.ts";

const limit = 1_000;

function serveSmall(leanPath: boolean, oversizeCode: Code | undefined): Promise<Server> {
  return serve({
    port: 0,
    leanPath,
    openReadMaxBytes: limit,
    readMaxBytes: limit,
    limits: oversizeCode === undefined ? {} : { oversizeCode },
    services: [
      service(
        mailboxPolicy,
        {
          getBulletin: unimplemented,
          openSession: () => ({ session: "fits" }),
          countLetters: () => ({ count: 1 }),
          sendLetter: () => ({}),
          watchLetters: unimplemented,
          importLetters: async (requests) => {
            let count = 0;
            for await (const _ of requests) {
              count++;
            }
            return { count };
          },
          converse: unimplemented,
        },
        { readMaxBytes: { countLetters: 1 } },
      ),
    ],
    verifiers: {
      session: (presented) => (presented === token ? { mailboxId: 7n } : refusal("unknown")),
    },
  });
}

type Make = (baseUrl: string) => Transport;
const gzip = { sendCompression: compressionGzip, compressMinBytes: 1 };
const transports: [name: string, make: Make][] = [
  ["gRPC", (baseUrl) => createGrpcTransport({ baseUrl })],
  ["gRPC, compressed", (baseUrl) => createGrpcTransport({ baseUrl, ...gzip })],
  ["gRPC in JSON", (baseUrl) => createGrpcTransport({ baseUrl, useBinaryFormat: false })],
  ["gRPC-web on HTTP/2", (baseUrl) => createGrpcWebTransport({ baseUrl, httpVersion: "2" })],
  ["gRPC-web on HTTP/1.1", (baseUrl) => createGrpcWebTransport({ baseUrl, httpVersion: "1.1" })],
  [
    "gRPC-web, compressed",
    (baseUrl) => createGrpcWebTransport({ baseUrl, httpVersion: "2", ...gzip }),
  ],
  ["Connect on HTTP/2", (baseUrl) => createConnectTransport({ baseUrl, httpVersion: "2" })],
  ["Connect on HTTP/1.1", (baseUrl) => createConnectTransport({ baseUrl, httpVersion: "1.1" })],
  [
    "Connect, compressed",
    (baseUrl) => createConnectTransport({ baseUrl, httpVersion: "1.1", ...gzip }),
  ],
  [
    "Connect by GET",
    (baseUrl) => createConnectTransport({ baseUrl, httpVersion: "1.1", useHttpGet: true }),
  ],
];

async function outcome(call: Promise<unknown>): Promise<[code: Code, text: string]> {
  const { code, rawMessage } = ConnectError.from(await call.catch((reason: unknown) => reason));
  return [code, rawMessage];
}

describe.each([
  ["lean path", true],
  ["connect's handlers", false],
])("%s: a message that is too large", (_, leanPath) => {
  describe.each(transports)("%s", (_name, makeTransport) => {
    it.each([
      ["ResourceExhausted by default", undefined, Code.ResourceExhausted],
      ["the code that the server was given", Code.OutOfRange, Code.OutOfRange],
    ])("is answered with %s", async (_text, oversizeCode, expected) => {
      await using server = await serveSmall(leanPath, oversizeCode);
      const client = createClient(Mailbox, makeTransport(server.url));
      const text = "x".repeat(2 * limit);
      const tooLarge = async function* () {
        yield {};
        yield { letter: { text } };
      };
      for (const call of [
        () => client.openSession({ key: text }),
        () => client.sendLetter({ letter: { text } }, { headers: header }),
        () => client.countLetters({ mailboxId: 7n }, { headers: header }),
        () => client.importLetters(tooLarge(), { headers: header }),
      ]) {
        const [code, message] = await outcome(call());
        expect(message).toMatch(/larger than configured readMaxBytes 1(000)?\b/);
        expect(code).toBe(expected);
      }
      // Whom the gate refuses is told nothing of sizes.
      const [refused] = await outcome(client.sendLetter({ letter: { text } }));
      expect(refused).toBe(Code.Unauthenticated);
      expect((await client.openSession({ key: "x".repeat(limit - 100) })).session).toBe("fits");
    });
  });
});

it.each([Number.NaN, 0, 17, 1.5])(
  'refuses to start with "oversizeCode" %d',
  async (oversizeCode) => {
    await expect(serveMailbox({ limits: { oversizeCode } })).rejects.toThrow(
      `"oversizeCode" must be a code of gRPC, not ${oversizeCode}`,
    );
  },
);
