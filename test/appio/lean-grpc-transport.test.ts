import { once } from "node:events";
import {
  constants,
  createServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
  type ServerHttp2Stream,
} from "node:http2";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";
import { gzipSync } from "node:zlib";
import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ServerAppIo } from "../../gen/flwr/proto/serverappio_pb.ts";
import { type GrpcConnection, openGrpc } from "../../src/appio/grpc-connection.ts";

let server: Http2Server;
let baseUrl: string;
let connection: GrpcConnection;

beforeEach(async () => {
  server = createServer();
  server.on("session", (session) => session.on("error", () => {}));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  baseUrl = `http://127.0.0.1:${port}/base`;
  connection = openGrpc(baseUrl);
});
afterEach(() => {
  connection.close();
  server.close();
});

const grpc = { ":status": 200, "content-type": "application/grpc" };
const ok = { "grpc-status": "0" };
/** GetNodesResponse with one node, 7. */
const oneNode = Buffer.from([0x0a, 2, 0x08, 7]);

function framed(message: Buffer, flags = 0): Buffer {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt8(flags);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

function reply(
  stream: ServerHttp2Stream,
  headers: OutgoingHttpHeaders,
  body?: Buffer,
  trailers?: OutgoingHttpHeaders,
): void {
  if (trailers === undefined) {
    stream.respond(headers, body === undefined ? { endStream: true } : {});
  } else {
    stream.respond(headers, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers(trailers));
  }
  if (body !== undefined || trailers !== undefined) stream.end(body);
}

/** What a caller learns of a call: all but the error's stack. */
async function outcomeOf(transport: Transport, act: (stream: ServerHttp2Stream) => void) {
  server.once("stream", (stream) => {
    stream.on("error", () => {});
    stream.resume();
    act(stream);
  });
  const seen: Record<string, unknown> = {};
  const client = createClient(ServerAppIo, transport);
  try {
    const { nodes } = await client.getNodes(
      { runId: 1n },
      {
        onHeader: (headers) => {
          seen.headers = withoutDate(headers);
        },
        onTrailer: (trailers) => {
          seen.trailers = [...trailers];
        },
      },
    );
    return { ...seen, nodes: nodes.map(({ nodeId }) => nodeId) };
  } catch (reason) {
    const { code, rawMessage, metadata, details } = ConnectError.from(reason);
    return { code: Code[code], text: rawMessage, metadata: withoutDate(metadata), details };
  }
}

function withoutDate(headers: Headers): [string, string][] {
  return [...headers].filter(([name]) => name !== "date");
}

/** Answers of servers, and what becomes of them; undefined for the nodes. */
const answers: readonly [
  kind: string,
  act: (stream: ServerHttp2Stream) => void,
  code: string | undefined,
][] = [
  ["one message", (stream) => reply(stream, grpc, framed(oneNode), ok), undefined],
  [
    "one message in two pieces, with metadata",
    (stream) => {
      const body = framed(oneNode);
      stream.respond({ ...grpc, "x-one": "1" }, { waitForTrailers: true });
      stream.on("wantTrailers", () => stream.sendTrailers({ ...ok, "x-two": ["2", "3"] }));
      stream.write(body.subarray(0, 3), () => stream.end(body.subarray(3)));
    },
    undefined,
  ],
  [
    "a compressed message",
    (stream) =>
      reply(stream, { ...grpc, "grpc-encoding": "gzip" }, framed(gzipSync(oneNode), 1), ok),
    undefined,
  ],
  [
    "an unknown compression",
    (stream) => reply(stream, { ...grpc, "grpc-encoding": "lzma" }, framed(oneNode, 1), ok),
    "Internal",
  ],
  ["an empty message", (stream) => reply(stream, grpc, framed(Buffer.alloc(0)), ok), undefined],
  [
    "an error in the headers",
    (stream) =>
      reply(stream, { ...grpc, "grpc-status": "5", "grpc-message": "not%20here", "x-why": "so" }),
    "NotFound",
  ],
  [
    "an error in the trailers",
    (stream) => reply(stream, grpc, undefined, { "grpc-status": "7", "grpc-message": "no" }),
    "PermissionDenied",
  ],
  [
    "an error after a message",
    (stream) => reply(stream, grpc, framed(oneNode), { "grpc-status": "10", "x-why": "so" }),
    "Aborted",
  ],
  [
    "an error with details",
    (stream) =>
      // google.rpc.Status: code 3, message "m", one detail of type "t".
      reply(stream, grpc, undefined, {
        "grpc-status": "3",
        "grpc-status-details-bin": Buffer.from([8, 3, 18, 1, 109, 26, 3, 10, 1, 116]).toString(
          "base64",
        ),
      }),
    "InvalidArgument",
  ],
  [
    "a status that is none",
    (stream) => reply(stream, grpc, undefined, { "grpc-status": "x" }),
    "Internal",
  ],
  ["no status", (stream) => reply(stream, grpc, framed(oneNode)), "Internal"],
  ["no message", (stream) => reply(stream, grpc, undefined, ok), "Unimplemented"],
  ["success in the headers", (stream) => reply(stream, { ...grpc, ...ok }), "Unknown"],
  [
    "two messages",
    (stream) => reply(stream, grpc, Buffer.concat([framed(oneNode), framed(oneNode)]), ok),
    "Unimplemented",
  ],
  [
    "a message that is cut off",
    (stream) => reply(stream, grpc, framed(oneNode).subarray(0, -1), ok),
    "InvalidArgument",
  ],
  [
    "bytes that are no such message",
    (stream) => reply(stream, grpc, framed(Buffer.from([0xff])), ok),
    "Internal",
  ],
  [
    "an HTTP status beside a message",
    (stream) => reply(stream, { ...grpc, ":status": 503 }, framed(oneNode), ok),
    "Unavailable",
  ],
  [
    "success whose details say otherwise",
    (stream) =>
      reply(stream, grpc, framed(oneNode), { ...ok, "grpc-status-details-bin": "CAMSAW0=" }),
    "InvalidArgument",
  ],
  ["an HTTP status", (stream) => reply(stream, { ":status": 503 }), "Unavailable"],
  [
    "another content type",
    (stream) => reply(stream, { ":status": 200, "content-type": "text/html" }, Buffer.from("hi")),
    "Unknown",
  ],
];

describe("an answer", () => {
  it.each(answers)(
    "of %s is to the caller what it is over connect's transport",
    async (_, act, code) => {
      const outcome = await outcomeOf(connection.transport, act);
      expect("code" in outcome ? outcome.code : undefined).toBe(code);
      const connects = createGrpcTransport({ baseUrl });
      expect(outcome).toEqual(await outcomeOf(connects, act));
    },
  );
});

describe("a call", () => {
  /** What a server gets of a call. */
  async function requestOf(transport: Transport): Promise<[IncomingHttpHeaders, Buffer]> {
    const streams = once(server, "stream");
    const call = createClient(ServerAppIo, transport).getNodes(
      { runId: 2n ** 64n - 1n },
      { headers: { "x-one": "1", "content-type": "text/html", "user-agent": "mine" } },
    );
    const [stream, headers] = await streams;
    const body = await buffer(stream);
    reply(stream, grpc, framed(oneNode), ok);
    await call;
    return [headers, body];
  }

  it("is sent as connect sends it", async () => {
    const connects = createGrpcTransport({ baseUrl });
    const [headers, body] = await requestOf(connection.transport);
    expect(headers[":path"]).toBe("/base/flwr.proto.ServerAppIo/GetNodes");
    expect([{ ...headers }, body]).toEqual(
      await requestOf(connects).then(([same, bytes]) => [{ ...same }, bytes]),
    );
  });

  it("of a large message that is refused fails as the server says", async () => {
    server.once("stream", (stream) => {
      stream.on("error", () => {});
      reply(stream, { ...grpc, "grpc-status": "16", "grpc-message": "no" });
      setImmediate(() => stream.close(constants.NGHTTP2_NO_ERROR));
    });
    const client = createClient(ServerAppIo, connection.transport);
    const objectContent = new Uint8Array(8 * 1024 * 1024);
    await expect(client.pushObject({ objectContent })).rejects.toMatchObject({
      code: Code.Unauthenticated,
      rawMessage: "no",
    });
  });

  it.each([
    ["REFUSED_STREAM", constants.NGHTTP2_REFUSED_STREAM, Code.Unavailable],
    ["CANCEL", constants.NGHTTP2_CANCEL, Code.Unavailable],
    ["ENHANCE_YOUR_CALM", constants.NGHTTP2_ENHANCE_YOUR_CALM, Code.Unavailable],
    ["HTTP_1_1_REQUIRED", constants.NGHTTP2_HTTP_1_1_REQUIRED, Code.Internal],
    ["INTERNAL_ERROR", constants.NGHTTP2_INTERNAL_ERROR, Code.Internal],
  ])(
    "whose stream is reset with %s fails with a code that Grid can act on",
    async (_, reset, code) => {
      const outcome = await outcomeOf(connection.transport, (stream) => stream.close(reset));
      expect(outcome).toMatchObject({ code: Code[code] });
    },
  );

  it("that finds no server is Unavailable", async () => {
    server.close();
    const call = createClient(ServerAppIo, connection.transport).getNodes({});
    await expect(call).rejects.toMatchObject({ code: Code.Unavailable });
  });

  it("that is cancelled before it is made is not sent", async () => {
    let calls = 0;
    server.on("stream", () => {
      calls += 1;
    });
    const client = createClient(ServerAppIo, connection.transport);
    const signal = AbortSignal.abort(new Error("enough"));
    await expect(client.getNodes({}, { signal })).rejects.toMatchObject({
      code: Code.Canceled,
      rawMessage: "enough",
    });
    expect(calls).toBe(0);
  });

  it("that is cancelled ends at the server too", async () => {
    const streams = once(server, "stream");
    const cancelling = new AbortController();
    const client = createClient(ServerAppIo, connection.transport);
    const call = client.getNodes({}, { signal: cancelling.signal });
    const [stream] = await streams;
    stream.on("error", () => {});
    const closed = once(stream, "close");
    cancelling.abort();
    await expect(call).rejects.toMatchObject({ code: Code.Canceled });
    await closed;
    expect(stream.rstCode).toBe(constants.NGHTTP2_CANCEL);
  });

  it("that is cancelled while it connects fails at once", async () => {
    const cancelling = new AbortController();
    const client = createClient(ServerAppIo, connection.transport);
    const call = client.getNodes({}, { signal: cancelling.signal });
    cancelling.abort();
    await expect(call).rejects.toMatchObject({ code: Code.Canceled });
  });

  it("with a deadline fails when it is over", async () => {
    const client = createClient(ServerAppIo, connection.transport);
    await expect(client.getNodes({}, { timeoutMs: 1 })).rejects.toMatchObject({
      code: Code.DeadlineExceeded,
    });
  });
});
