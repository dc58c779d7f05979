import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { expect, it, vi } from "vitest";
import { Mailbox } from "../../gen/countersign/example/v1/mailbox_pb.ts";
import { FrameReader } from "./frame-reader.ts";
import { frame, frameType, preface, requestHeaders } from "./http2-frames.ts";
import { serveMailbox } from "./mailbox-server.ts";
import { openSocket } from "./raw-http.ts";

const sendLetter = "/countersign.example.v1.Mailbox/SendLetter";
const streams = [1, 3, 5];

/** SETTINGS_INITIAL_WINDOW_SIZE of 0: the server may send headers, and nothing of a body. */
const noWindow = frame(frameType.settings, 0, 0, Buffer.from([0, 4, 0, 0, 0, 0]));

it.each([
  ["gRPC-web, on the lean path", "application/grpc-web+proto", 0],
  ["Connect", "application/json", 0],
  ["Connect, with an error", "application/json", 8],
])(
  "keeps nothing of a call that is reset before its answer was taken: %s",
  async (_, contentType, code) => {
    await using mailbox = await serveMailbox({ limits: { maxOpenRequests: streams.length } });
    const socket = await openSocket(mailbox.server.port);
    const reader = new FrameReader(socket);
    socket.write(Buffer.concat([preface, noWindow]));
    for (const id of streams) {
      // Refused by its headers, and never ended.
      socket.write(requestHeaders(id, sendLetter, contentType));
      await reader.next(({ type, streamId }) => type === frameType.headers && streamId === id);
    }
    const other = createClient(Mailbox, createGrpcTransport({ baseUrl: mailbox.server.url }));
    await expect(other.getBulletin({})).rejects.toThrow("[unavailable]");
    for (const id of streams) {
      socket.write(frame(frameType.resetStream, 0, id, Buffer.from([0, 0, 0, code])));
    }
    await vi.waitFor(async () => expect((await other.getBulletin({})).text).toBe("hello"), 2_000);
    socket.destroy();
  },
);
