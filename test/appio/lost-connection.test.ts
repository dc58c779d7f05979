import { once } from "node:events";
import { constants, createServer, type Http2Server, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo, Socket } from "node:net";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Control } from "../../gen/countersign/control/v1/control_pb.ts";
import { ServerAppIo } from "../../gen/flwr/proto/serverappio_pb.ts";
import { generatePrivateKey } from "../../src/appio/credentials/private-key.ts";
import { type GrpcConnection, openGrpc } from "../../src/appio/grpc-connection.ts";
import { connectToLaunches } from "../../src/appio/launch/launch-client.ts";
import { callUnlessLost } from "../../src/appio/lost-connection.ts";
import { connectToFleet } from "../../src/appio/supernode/fleet-link.ts";
import { transportTo } from "../../src/client/located-transport.ts";

let server: Http2Server;
let connection: GrpcConnection;
let socket: Socket | undefined;
let baseUrl: string;

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
  baseUrl = `http://127.0.0.1:${port}`;
  connection = openGrpc(baseUrl);
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

  it("fails as Unavailable when the server has not looked at it", async () => {
    const refuse = (stream: ServerHttp2Stream) => stream.close(constants.NGHTTP2_REFUSED_STREAM);
    expect(await failureOf(refuse)).toBe("Unavailable");
  });

  it("fails as Unavailable when the answer is a stream that was cut off between messages", async () => {
    server.on("stream", (stream) => {
      stream.on("error", () => {});
      stream.respond({ ":status": 200, "content-type": "application/grpc" });
      stream.write(Buffer.from([0, 0, 0, 0, 0]));
    });
    const logs = createClient(Control, connection.transport).streamLogs({ follow: true });
    const received: string[] = [];
    const reading = (async () => {
      for await (const { logOutput } of logs) {
        received.push(logOutput);
        socket?.destroy();
      }
    })();
    await expect(reading).rejects.toMatchObject({ code: Code.Unavailable });
    expect(received).toEqual([""]);
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

describe("over a transport that its user has made", () => {
  /** Cuts off its first answer, and gives an empty one from then on. */
  function cutOffOnce() {
    const calls: string[] = [];
    server.on("stream", (stream, headers) => {
      stream.on("error", () => {});
      calls.push(`${headers[":path"]}`);
      stream.respond(
        { ":status": 200, "content-type": "application/grpc" },
        { waitForTrailers: true },
      );
      if (calls.length === 1) {
        stream.write(Buffer.from([0, 0, 0, 0, 9]), () => socket?.destroy());
        return;
      }
      stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
      stream.end(Buffer.from([0, 0, 0, 0, 0]));
    });
    return { calls, transport: transportTo(createGrpcTransport, { baseUrl }) };
  }
  const { signal } = new AbortController();
  const retry = { sleep: async () => {} };

  it("a SuperNode makes a call again whose connection was lost", async () => {
    const { calls, transport } = cutOffOnce();
    const privateKey = await generatePrivateKey();
    const fleet = connectToFleet({ fleet: transport, privateKey, now: Date.now, signal, retry });
    const { run } = await fleet.call((options) => fleet.client.getRun({ runId: 1n }, options));
    expect(run).toBeUndefined();
    expect(calls).toEqual(["/flwr.proto.Fleet/GetRun", "/flwr.proto.Fleet/GetRun"]);
  });

  it("a SuperExec makes a call again whose connection was lost", async () => {
    const { calls, transport } = cutOffOnce();
    const launches = connectToLaunches({ appIo: baseUrl, transport, retry }, "serverapp", signal);
    expect(await launches.list()).toEqual([]);
    expect(calls).toHaveLength(2);
  });
});

describe("what tells that the other end is out of reach", () => {
  it.each(["ETIMEDOUT", "EHOSTUNREACH", "ENETUNREACH", "ENETDOWN", "ECONNRESET", "EAI_AGAIN"])(
    "%s is Unavailable",
    async (code) => {
      const cause = Object.assign(new Error(`read ${code}`), { code });
      const call = () => Promise.reject(new ConnectError("x", Code.Internal, {}, [], cause));
      await expect(callUnlessLost(call, undefined)).rejects.toMatchObject({
        code: Code.Unavailable,
        rawMessage: "The connection was lost: x",
      });
    },
  );

  it("is told once", async () => {
    const cause = Object.assign(new Error("read ETIMEDOUT"), { code: "ETIMEDOUT" });
    const known = new ConnectError("out of reach", Code.Unavailable, {}, [], cause);
    await expect(callUnlessLost(() => Promise.reject(known), undefined)).rejects.toBe(known);
  });
});
