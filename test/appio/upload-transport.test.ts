import { once } from "node:events";
import { createServer, type Http2Server, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo, Socket } from "node:net";
import { buffer } from "node:stream/consumers";
import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ServerAppIo } from "../../gen/flwr/proto/serverappio_pb.ts";
import { type GrpcConnection, openGrpc } from "../../src/appio/grpc-connection.ts";
import { ObjectUpload } from "../../src/appio/objects/object-upload.ts";
import { serverAppIoPolicy } from "../../src/appio/policy.ts";
import { createAuthenticatedClient } from "../../src/client/authenticated-client.ts";
import { parseToken } from "../../src/policy/token.ts";

/** Contents of at least so many bytes are sent from where they are. */
const leastBytes = 64 * 1024;

const joins = vi.spyOn(ObjectUpload.prototype, "objectContent", "get");
let server: Http2Server;
let socket: Socket | undefined;
let baseUrl: string;
let connection: GrpcConnection;

beforeEach(async () => {
  joins.mockClear();
  server = createServer();
  server.on("connection", (latest) => {
    socket = latest;
  });
  server.on("session", (session) => session.on("error", () => {}));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  baseUrl = `http://127.0.0.1:${port}`;
  connection = openGrpc(baseUrl);
});
afterEach(() => {
  connection.close();
  server.close();
});

/** An upload whose pieces have these sizes, with bytes that tell where they were. */
function uploadOf(...sizes: readonly number[]): ObjectUpload {
  const pieces = sizes.map((size, index) =>
    new Uint8Array(size).map((_, offset) => (offset * 31 + index) % 251),
  );
  return new ObjectUpload({
    node: { nodeId: 1n },
    runId: 2n ** 64n - 1n,
    objectId: "a".repeat(64),
    pieces,
  });
}

/** Answers a push, `stored`. */
function answer(stream: ServerHttp2Stream): void {
  stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
  stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
  stream.end(Buffer.from([0, 0, 0, 0, 2, 8, 1]));
}

/** Ends a call with a status, whatever of its request is still to come. */
function refuse(stream: ServerHttp2Stream, status: Code): void {
  const headers = { ":status": 200, "content-type": "application/grpc", "grpc-status": status };
  stream.respond(headers, { endStream: true });
}

/** Makes a push, and tells what arrived of it. */
async function arrivedOf(transport: Transport, upload: ObjectUpload): Promise<Buffer> {
  const streams = once(server, "stream");
  const push = createClient(ServerAppIo, transport).pushObject(upload);
  const [stream] = await streams;
  const arrived = await buffer(stream);
  answer(stream);
  expect(await push).toMatchObject({ stored: true });
  return arrived;
}

async function codeOf(call: Promise<unknown>): Promise<string | undefined> {
  const error = await call.then(
    () => undefined,
    (reason: unknown) => ConnectError.from(reason),
  );
  return error && Code[error.code];
}

describe("an upload", () => {
  it.each([
    ["one piece", [leastBytes]],
    ["a head and a body", [21, 5_242_880]],
    ["small pieces between large ones", [21, 128, 70_000, 3, 0, 5, 90_000, 80_000, 9]],
    ["small pieces alone", new Array<number>(40).fill(2_000)],
  ])("of %s arrives as connect would have sent it, without a copy of it", async (_, sizes) => {
    const upload = uploadOf(...sizes);
    const arrived = await arrivedOf(connection.transport, upload);
    expect(joins).not.toHaveBeenCalled();
    const expected = await arrivedOf(createGrpcTransport({ baseUrl }), upload);
    expect(joins).toHaveBeenCalled();
    expect(arrived.equals(expected)).toBe(true);
  });

  it("that is small goes the usual way", async () => {
    const upload = uploadOf(21, leastBytes - 22);
    const arrived = await arrivedOf(connection.transport, upload);
    expect(joins).toHaveBeenCalled();
    const expected = await arrivedOf(createGrpcTransport({ baseUrl }), upload);
    expect(arrived.equals(expected)).toBe(true);
  });

  it("can be repeated, also after its copy was given back", async () => {
    const upload = uploadOf(21, 300_000);
    const first = await arrivedOf(connection.transport, upload);
    const usual = await arrivedOf(createGrpcTransport({ baseUrl }), upload);
    upload.release();
    expect(first.equals(usual)).toBe(true);
    expect(first.equals(await arrivedOf(connection.transport, upload))).toBe(true);
    expect(first.equals(await arrivedOf(createGrpcTransport({ baseUrl }), upload))).toBe(true);
  });

  it("carries its client's credential and deadline", async () => {
    const client = createAuthenticatedClient(serverAppIoPolicy, connection.transport, {
      appToken: parseToken("a-token"),
    });
    const streams = once(server, "stream");
    const push = client.pushObject(uploadOf(21, 300_000), { timeoutMs: 60_000 });
    const [stream, headers] = await streams;
    expect(headers).toMatchObject({
      ":path": "/flwr.proto.ServerAppIo/PushObject",
      "flwr-app-token": "a-token",
      "grpc-timeout": "60000m",
    });
    stream.resume().once("end", () => answer(stream));
    await push;
  });

  it("that is refused before it has arrived fails as the server says", async () => {
    server.once("stream", (stream) => refuse(stream, Code.Unauthenticated));
    const { pushObject } = createClient(ServerAppIo, connection.transport);
    expect(await codeOf(pushObject(uploadOf(21, 5_242_880)))).toBe("Unauthenticated");
  });

  it("whose connection is lost fails as Unavailable, and arrives when it is made again", async () => {
    const upload = uploadOf(21, 5_242_880);
    server.once("stream", (stream) => {
      stream.on("error", () => {});
      stream.once("data", () => socket?.destroy());
    });
    const { pushObject } = createClient(ServerAppIo, connection.transport);
    expect(await codeOf(pushObject(upload))).toBe("Unavailable");
    const arrived = await arrivedOf(connection.transport, upload);
    expect(arrived.equals(await arrivedOf(createGrpcTransport({ baseUrl }), upload))).toBe(true);
  });

  it("ends when it is cancelled", async () => {
    const cancelling = new AbortController();
    const streams = once(server, "stream");
    const { pushObject } = createClient(ServerAppIo, connection.transport);
    const push = pushObject(uploadOf(21, 5_242_880), { signal: cancelling.signal });
    const [stream] = await streams;
    const closed = once(stream, "close");
    stream.on("error", () => {}).once("data", () => cancelling.abort());
    expect(await codeOf(push)).toBe("Canceled");
    await closed;
  });
});
