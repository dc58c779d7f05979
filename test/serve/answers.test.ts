import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import { definePolicy, open, service, unimplemented } from "countersign";
import { type Server, serve } from "countersign/serve";
import { afterAll, beforeAll, expect, it } from "vitest";
import { Mailbox } from "../../gen/countersign/example/v1/mailbox_pb.ts";

const openPolicy = definePolicy(Mailbox, {
  getBulletin: open,
  openSession: open,
  countLetters: open,
  sendLetter: open,
  watchLetters: open,
  importLetters: open,
  converse: open,
});

let server: Server;
beforeAll(async () => {
  server = await serve({
    port: 0,
    services: [
      service(
        openPolicy,
        {
          // Trailers and headers that HTTP/2 forbids.
          getBulletin: (_, { responseTrailer }) => {
            responseTrailer.set("connection", "close");
            return {};
          },
          openSession: (_, { responseHeader }) => {
            responseHeader.set("transfer-encoding", "chunked");
            return {};
          },
          countLetters: () => {
            throw new Error("secret of the handler");
          },
          sendLetter: ({ letter }) => ({ mailboxId: BigInt(letter?.text.length ?? 0) }),
          watchLetters: async function* () {
            yield { letter: { text: "x".repeat(8 * 1024 * 1024) } };
            throw new ConnectError("no more letters", Code.DataLoss);
          },
          // Answers before the requests have ended.
          importLetters: async (requests) => {
            const { value } = await requests[Symbol.asyncIterator]().next();
            return { count: value?.letter === undefined ? 0 : 1 };
          },
          converse: unimplemented,
        },
        { readMaxBytes: { sendLetter: 64 * 1024 * 1024 } },
      ),
    ],
    verifiers: {},
    limits: { writeMaxBytes: 16 * 1024 * 1024, maxConcurrentCalls: 5 },
  });
});
afterAll(() => server.close({ graceMs: 1 }));

const grpc = () => createClient(Mailbox, createGrpcTransport({ baseUrl: server.url }));
const connect = () =>
  createClient(Mailbox, createConnectTransport({ baseUrl: server.url, httpVersion: "1.1" }));

it("survives headers and trailers of a handler that HTTP/2 forbids", async () => {
  const client = grpc();
  await expect(client.getBulletin({})).rejects.toBeInstanceOf(ConnectError);
  await expect(client.openSession({})).rejects.toBeInstanceOf(ConnectError);
  expect((await client.sendLetter({ letter: { text: "abc" } })).mailboxId).toBe(3n);
});

it.each([
  ["gRPC", grpc],
  ["Connect on HTTP/1.1", connect],
])("%s: does not show what a handler threw", async (_, makeClient) => {
  await expect(makeClient().countLetters({})).rejects.toSatisfy((reason) => {
    const { code, message } = ConnectError.from(reason);
    return code === Code.Internal && !message.includes("secret");
  });
});

it.each([
  ["gRPC", grpc],
  ["Connect on HTTP/1.1", connect],
])("%s: sends megabytes in a stream, and its error after them", async (_, makeClient) => {
  const sizes: (number | undefined)[] = [];
  const read = async () => {
    for await (const { letter } of makeClient().watchLetters({})) {
      sizes.push(letter?.text.length);
    }
  };
  await expect(read()).rejects.toSatisfy(
    (reason) => ConnectError.from(reason).code === Code.DataLoss,
  );
  expect(sizes).toEqual([8 * 1024 * 1024]);
});

it.each([
  ["gRPC", grpc],
  ["Connect on HTTP/1.1", connect],
])("%s: takes a message as large as its RPC allows", async (_, makeClient) => {
  const text = "x".repeat(32 * 1024 * 1024);
  expect((await makeClient().sendLetter({ letter: { text } })).mailboxId).toBe(32n * 1024n ** 2n);
});

it.each([
  ["gRPC", grpc],
  ["Connect on HTTP/1.1", connect],
])("%s: answers a request stream before its end", async (_, makeClient) => {
  async function* endless() {
    for (;;) {
      yield { letter: { text: "x".repeat(10_000) } };
    }
  }
  const client = makeClient();
  for (let i = 0; i < 3; i++) {
    expect((await client.importLetters(endless())).count).toBe(1);
  }
});

it.each([
  ["gRPC", grpc],
  ["Connect on HTTP/1.1", connect],
])("%s: has done with a call whose requests a handler left unread", async (_, makeClient) => {
  async function* three() {
    for (let i = 0; i < 3; i++) {
      yield { letter: { text: `number ${i}` } };
    }
  }
  const client = makeClient();
  // More than may be open at once.
  for (let i = 0; i < 10; i++) {
    expect((await client.importLetters(three())).count).toBe(1);
  }
});

it("says that an RPC is not implemented", async () => {
  const answers = grpc().converse((async function* () {})());
  await expect(answers[Symbol.asyncIterator]().next()).rejects.toSatisfy(
    (reason) => ConnectError.from(reason).code === Code.Unimplemented,
  );
});
