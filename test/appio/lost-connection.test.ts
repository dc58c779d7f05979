import { once } from "node:events";
import { createServer, type Http2Server, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo, Socket } from "node:net";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ServerAppIo } from "../../gen/flwr/proto/serverappio_pb.ts";
import { type GrpcConnection, openGrpc } from "../../src/appio/grpc-connection.ts";

let server: Http2Server;
let connection: GrpcConnection;
let socket: Socket | undefined;

/** A server that never answers, as far as gRPC is concerned. */
beforeEach(async () => {
  server = createServer();
  server.on("connection", (latest) => {
    socket = latest;
  });
  // The client breaks sessions as well.
  server.on("session", (session) => session.on("error", () => {}));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  connection = openGrpc(`http://127.0.0.1:${port}`);
});
afterEach(() => {
  connection.close();
  server.close();
});

/** Makes a call, lets the server do something about it, and tells how the call failed. */
async function failureOf(
  act: (stream: ServerHttp2Stream, socket: Socket | undefined) => void,
  signal?: AbortSignal,
) {
  const streams = once(server, "stream");
  const client = createClient(ServerAppIo, connection.transport);
  const call = client.listAppsToLaunch({}, signal === undefined ? {} : { signal }).then(
    () => undefined,
    (reason: unknown) => ConnectError.from(reason),
  );
  const [stream] = await streams;
  stream.on("error", () => {});
  act(stream, socket);
  const error = await call;
  return error && Code[error.code];
}

describe("a call", () => {
  it("fails as Unavailable when its connection is reset", async () => {
    expect(await failureOf((_, socket) => socket?.resetAndDestroy())).toBe("Unavailable");
  });

  it("fails as Unavailable when its connection ends", async () => {
    expect(await failureOf((_, socket) => socket?.destroy())).toBe("Unavailable");
    expect(await failureOf((_, socket) => socket?.end())).toBe("Unavailable");
  });

  it("fails as Unavailable when its answer is cut off", async () => {
    const failure = await failureOf((stream, socket) => {
      stream.respond({ ":status": 200, "content-type": "application/grpc" });
      stream.write(Buffer.from([0, 0, 0, 0, 9]), () => socket?.destroy());
    });
    expect(failure).toBe("Unavailable");
  });

  it("fails as the server says it does", async () => {
    const answer = (status: number) =>
      failureOf((stream) => {
        stream.respond(
          { ":status": 200, "content-type": "application/grpc", "grpc-status": status },
          { endStream: true },
        );
      });
    expect(await answer(Code.Aborted)).toBe("Aborted");
    expect(await answer(Code.Canceled)).toBe("Canceled");
  });

  it("stays cancelled when its own caller cancelled it", async () => {
    const cancelling = new AbortController();
    expect(await failureOf(() => cancelling.abort(), cancelling.signal)).toBe("Canceled");
  });
});
