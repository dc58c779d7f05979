import { createPrivateKey } from "node:crypto";
import { type ClientHttp2Session, connect as connectHttp2 } from "node:http2";
import { create, type DescMethod, toBinary } from "@bufbuild/protobuf";
import { Code, createClient } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Mailbox, SendLetterRequestSchema } from "../../gen/countersign/example/v1/mailbox_pb.ts";
import { Fleet } from "../../gen/flwr/proto/fleet_pb.ts";
import { ServerAppIo } from "../../gen/flwr/proto/serverappio_pb.ts";
import { signAsSuperNode } from "../../src/appio/credentials/super-node-signer.ts";
import {
  endHeaders,
  endStream,
  frame,
  frameType,
  headerBlock,
  hello,
  requestHeaders,
} from "../serve/http2-frames.ts";
import { http1Request, openSocket } from "../serve/raw-http.ts";
import { FuzzedTarget, type Usage } from "./fuzzed-target.ts";
import { bytesLike, inputCount, join, near, seed, text } from "./inputs.ts";
import { protobufOf } from "./protobuf-inputs.ts";

/** Inputs that are under way at the same time. */
const batchSize = 20;

/** How long an input may wait for an answer or for the end of its connection, in milliseconds. */
const patienceMs = 40_000;

/** How much more memory may be in use after a kind of input, in bytes: caches, not a leak. */
const allowedGrowth = 48 * 1024 * 1024;

let target: FuzzedTarget;
let inputs = 0;
beforeAll(async () => {
  target = await FuzzedTarget.start();
});
afterAll(async () => {
  console.log(`${inputs} inputs on the wire; seed ${seed}; answers to messages:`, statuses);
  await target[Symbol.asyncDispose]();
});

describe("no input on the wire ends the process, hangs, or is taken for a credential", () => {
  test("HTTP/1.1, byte by byte", () =>
    fuzz(0.15, near(fc.constantFrom(...http1Originals())), (bytes) =>
      untilClosed(portOf(target.facts.mailboxUrl), bytes),
    ));

  test("HTTP/2 frames", () =>
    fuzz(0.15, http2Bytes(), (bytes) => untilClosed(portOf(target.facts.mailboxUrl), bytes)));

  test("HTTP/2 header blocks", () =>
    fuzz(0.1, headerFields(), (fields) => {
      const block = headerBlock([
        [":method", "POST"],
        [":scheme", "http"],
        [":path", "/countersign.example.v1.Mailbox/CountLetters"],
        [":authority", "127.0.0.1"],
        ...fields,
      ]);
      const bytes = join(hello, frame(frameType.headers, endHeaders | endStream, 1, block));
      return untilClosed(portOf(target.facts.mailboxUrl), bytes);
    }));

  test("gRPC's framing, behind the guard", () =>
    onSession(target.facts.mailboxUrl, (session) =>
      fuzz(0.15, grpcBody(), async ({ path, contentType, body }) => {
        await request(session, path, contentType, body, {
          "mailbox-session": target.facts.mailboxToken,
        });
      }),
    ));

  test("tokens: none but the right one is let through", () =>
    onSession(target.facts.serverAppIoUrl, (session) =>
      fuzz(0.15, tokens(target.facts.appToken), async (token) => {
        const body = Buffer.alloc(5);
        const status = await request(session, pathOf(ServerAppIo.method.getNodes), grpc, body, {
          "flwr-app-token": token,
        });
        if (token !== target.facts.appToken) {
          expect([token, status]).toEqual([token, String(Code.Unauthenticated)]);
        }
      }),
    ));

  test("protobuf of every RPC of ServerAppIo, with a live token", () =>
    onSession(target.facts.serverAppIoUrl, (session) =>
      fuzz(0.15, messages(ServerAppIo.methods), async ({ method, bytes }) => {
        // These end the run, and with it what can be fuzzed.
        if (method.name === "PushAppOutputs" || method.name === "UpdateRunStatus") {
          return;
        }
        const status = await request(session, pathOf(method), grpc, envelope(bytes), {
          "flwr-app-token": target.facts.appToken,
        });
        expectAnswered(method, status);
      }),
    ));

  test("protobuf and node ids of every RPC of Fleet, signed", async () => {
    const sign = signAsSuperNode(createPrivateKey(target.facts.nodeKey));
    const signed = await sign({ method: Fleet.method.pullMessages, now: Date.now });
    const headers: Record<string, string> = {};
    for (const [name, value] of Object.entries(signed)) {
      headers[name] = typeof value === "string" ? value : Buffer.from(value).toString("base64");
    }
    await onSession(target.facts.fleetUrl, (session) =>
      fuzz(0.15, messages(Fleet.methods), async ({ method, bytes }) => {
        if (/^(Deactivate|Unregister)Node$/.test(method.name)) {
          return;
        }
        const status = await request(session, pathOf(method), grpc, envelope(bytes), headers);
        expectAnswered(method, status);
      }),
    );
  });
});

const grpc = "application/grpc+proto";

/**
 * Feeds a share of all inputs in batches, and looks at the process afterwards:
 * it lives, the next call works, and it uses no more than before.
 */
async function fuzz<T>(
  share: number,
  input: fc.Arbitrary<T>,
  send: (input: T) => Promise<void>,
): Promise<void> {
  const batches = Math.max(5, Math.round((inputCount * share) / batchSize));
  const batch = fc.array(input, { minLength: batchSize, maxLength: batchSize });
  const warmUp = Math.ceil(batches / 5);
  let before: Usage | undefined;
  let ran = 0;
  await fc.assert(
    fc.asyncProperty(batch, async (some) => {
      if (ran++ === warmUp) {
        before = await target.usage();
      }
      await Promise.all(some.map((one) => soon(send(one))));
      target.assertAlive();
      inputs += some.length;
    }),
    { numRuns: batches, seed, endOnFailure: true },
  );
  await expectNextCallWorks();
  await expect
    .poll(async () => (await target.usage()).handles, { timeout: 60_000 })
    .toBeLessThanOrEqual((before?.handles ?? 0) + batchSize);
  const after = await target.usage();
  const growth = after.heapUsed - (before?.heapUsed ?? 0);
  expect(growth, "growth of the heap in bytes").toBeLessThan(allowedGrowth);
  console.log(
    `${batches * batchSize} inputs; heap ${mebibytes(before?.heapUsed)} -> ${mebibytes(after.heapUsed)} MiB, handles ${before?.handles} -> ${after.handles}`,
  );
}

/** Fails when the promise takes longer than any answer may. */
async function soon(answered: Promise<void>): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error("neither answered nor closed")), patienceMs);
  });
  await Promise.race([answered, late]).finally(() => clearTimeout(timer));
}

async function expectNextCallWorks(): Promise<void> {
  const baseUrl = target.facts.mailboxUrl;
  const sessionManager = new Http2SessionManager(baseUrl);
  const transport = createGrpcTransport({ baseUrl, sessionManager });
  const { count } = await createClient(Mailbox, transport).countLetters(
    {},
    { headers: { "mailbox-session": target.facts.mailboxToken } },
  );
  expect(count).toBe(3);
  sessionManager.abort();
}

/** Sends bytes on a connection of their own, ends it, and waits until the server has closed it too. */
async function untilClosed(port: number, bytes: Uint8Array): Promise<void> {
  const socket = await openSocket(port);
  socket.resume();
  const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
  socket.end(bytes);
  await closed;
}

/** Runs with one HTTP/2 connection, opened anew when the server closes it. */
async function onSession(
  url: string,
  use: (session: () => ClientHttp2Session) => Promise<void>,
): Promise<void> {
  let session: ClientHttp2Session | undefined;
  await use(() => {
    if (session === undefined || session.closed || session.destroyed) {
      session = connectHttp2(url);
      session.on("error", () => {});
    }
    return session;
  });
  session?.destroy();
}

/** Sends one request and returns its gRPC status; "" without one. */
function request(
  session: () => ClientHttp2Session,
  path: string,
  contentType: string,
  body: Uint8Array,
  headers: Readonly<Record<string, string>>,
): Promise<string> {
  return new Promise((resolve) => {
    const stream = session().request({
      ":method": "POST",
      ":path": path,
      "content-type": contentType,
      te: "trailers",
      ...headers,
    });
    let status = "";
    stream.on("error", () => {});
    stream.on("response", (fields) => {
      status = String(fields["grpc-status"] ?? status);
    });
    stream.on("trailers", (fields) => {
      status = String(fields["grpc-status"] ?? status);
    });
    stream.on("close", () => resolve(status));
    if (path.endsWith("WatchLetters")) {
      // It may go on for ever: its first part is an answer.
      stream.on("data", () => stream.close());
    }
    stream.resume();
    stream.end(body);
  });
}

/** How often each gRPC status was the answer to a message. */
const statuses = new Map<string, number>();

/** An answer is a success or a refusal with a reason: never a fault of ours. */
function expectAnswered(method: DescMethod, status: string): void {
  const name = status === "0" ? "OK" : (Code[Number(status)] ?? "none");
  statuses.set(name, (statuses.get(name) ?? 0) + 1);
  const faults = [Code.Unknown, Code.DataLoss, Code.Unauthenticated].map(String);
  expect(["", ...faults], `${method.name} answered ${status}`).not.toContain(status);
}

function portOf(url: string): number {
  return Number(new URL(url).port);
}

function pathOf(method: DescMethod): string {
  return `/${method.parent.typeName}/${method.name}`;
}

function mebibytes(bytes = 0): string {
  return (bytes / 1024 / 1024).toFixed(1);
}

function envelope(message: Uint8Array, flags = 0, length = message.length): Uint8Array {
  const head = Buffer.alloc(5);
  head.writeUInt8(flags, 0);
  head.writeUInt32BE(length, 1);
  return join(head, message);
}

const letter = toBinary(
  SendLetterRequestSchema,
  create(SendLetterRequestSchema, { mailboxId: 7n, letter: { text: "hello" }, enclosures: [{}] }),
);
const rpc = "/countersign.example.v1.Mailbox/";
const contentTypes = [
  "application/proto",
  "application/json",
  "application/grpc-web+proto",
  "application/grpc-web+json",
  "application/connect+proto",
] as const;

/** Calls of HTTP/1.1 as clients make them. */
function http1Originals(): Uint8Array[] {
  const session = "mailbox-session";
  return contentTypes.flatMap((type) => {
    const isEnveloped = /grpc|connect/.test(type);
    const body = Buffer.from(isEnveloped ? envelope(letter) : letter).toString("latin1");
    const headers = { "content-type": type, [session]: "letmein" };
    return [
      http1Request("POST", `${rpc}SendLetter`, headers, body),
      http1Request("POST", `${rpc}SendLetter`, { "content-type": type }, body),
      http1Request("POST", `${rpc}ImportLetters`, { ...headers, expect: "100-continue" }, body),
      http1Request("GET", `${rpc}CountLetters?connect=v1&encoding=json&message=%7B%7D`, headers),
      http1Request("OPTIONS", `${rpc}SendLetter`, { origin: "https://example.com" }),
    ].map(text);
  });
}

/** Connections of HTTP/2: well-formed ones with a few changes, and frames in any order. */
function http2Bytes(): fc.Arbitrary<Uint8Array> {
  const session = [["mailbox-session", "letmein"]] as const;
  const calls = contentTypes.map((type) =>
    join(
      hello,
      requestHeaders(1, `${rpc}SendLetter`, type, endHeaders, session),
      frame(frameType.data, endStream, 1, envelope(letter)),
    ),
  );
  const anyFrame = fc
    .tuple(fc.nat(12), fc.nat(255), fc.nat(7), fc.uint8Array({ maxLength: 64 }))
    .map(([type, flags, streamId, payload]) => frame(type, flags, streamId, payload));
  const someFrames = fc
    .tuple(
      fc.constantFrom(...calls, hello),
      fc.array(
        fc.oneof(anyFrame, fc.constantFrom(...calls.map((call) => call.subarray(hello.length)))),
        {
          maxLength: 12,
        },
      ),
    )
    .map(([start, frames]) => join(start, ...frames));
  return fc.oneof(near(fc.constantFrom(...calls)), someFrames);
}

/** Names and values of header fields that no client library would let through. */
function headerFields(): fc.Arbitrary<(readonly [string, string])[]> {
  const latin1 = fc
    .uint8Array({ maxLength: 40 })
    .map((bytes) => Buffer.from(bytes).toString("latin1"));
  const name = fc.oneof(
    latin1,
    fc.constantFrom(
      "content-type",
      "mailbox-session",
      "te",
      "grpc-timeout",
      "grpc-encoding",
      ":path",
      "host",
    ),
  );
  const value = fc.oneof(
    latin1,
    fc.constantFrom(
      "application/grpc",
      "application/proto",
      "letmein",
      "letmein, letmein",
      "1S",
      "gzip",
      "trailers",
    ),
  );
  return fc.array(fc.tuple(name, value), { maxLength: 12 });
}

/** Bodies of gRPC and gRPC-web: wrong flags, lengths, counts and contents of messages. */
function grpcBody() {
  const message = fc
    .tuple(
      bytesLike(letter),
      fc.constantFrom(0, 0, 0, 1, 2, 0x80, 255),
      fc.option(fc.nat(0xffffffff)),
    )
    .map(([bytes, flags, length]) => envelope(bytes, flags, length ?? bytes.length));
  return fc.record({
    path: fc
      .constantFrom("CountLetters", "SendLetter", "ImportLetters", "WatchLetters", "Converse")
      .map((name) => rpc + name),
    contentType: fc.constantFrom(
      grpc,
      "application/grpc",
      "application/grpc-web+proto",
      "application/grpc+json",
    ),
    body: fc.array(message, { maxLength: 4 }).map((messages) => join(...messages)),
  });
}

/** Header values, many of them near the right token. */
function tokens(right: string): fc.Arbitrary<string> {
  return bytesLike(text(right), text(right.toUpperCase()), text(`${right},${right}`)).map((bytes) =>
    // What node's client refuses to send cannot be sent with it.
    Buffer.from(bytes)
      .toString("latin1")
      .replace(/[^\t\x20-\x7e\x80-\xff]/g, "~"),
  );
}

/** Messages of RPCs: fields that exist, of their types or not quite, with any value. */
function messages(methods: readonly DescMethod[]) {
  return fc.oneof(
    ...methods.map((method) => near(protobufOf(method.input)).map((bytes) => ({ method, bytes }))),
  );
}
