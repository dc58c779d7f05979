import { createHash } from "node:crypto";
import { Code, ConnectError, type Transport } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-node";
import { expect, it } from "vitest";
import { openGrpc } from "../../src/appio/grpc-connection.ts";
import { lostConnectionIsUnavailable } from "../../src/appio/lost-connection.ts";
import { Message } from "../../src/appio/objects/message.ts";
import { Grid } from "../../src/appio/runtime/grid.ts";
import { createRetry } from "../../src/appio/runtime/retry.ts";
import { inProcess } from "../../src/client/located-transport.ts";
import { model } from "./state/drafts.ts";
import { createSuperLinkWorld } from "./superlink/world.ts";

const chunkBytes = 10 * 1024 * 1024;

it.each<[protocol: string, open: (baseUrl: string) => Transport]>([
  ["gRPC", (baseUrl) => openGrpc(baseUrl).transport],
  [
    "gRPC-web on HTTP/2",
    (baseUrl) => {
      const nodeOptions = { maxSessionMemory: 1_024 };
      const interceptors = [lostConnectionIsUnavailable];
      return createGrpcWebTransport({ baseUrl, httpVersion: "2", nodeOptions, interceptors });
    },
  ],
])("%s: a Grid whose token dies while it pushes fails at once, as refused", async (_, open) => {
  await using world = await createSuperLinkWorld();
  const { runId, token, app } = await world.runningRun();
  const { nodeId } = await world.onlineNode();
  const { run } = await app.getRun({ runId });
  const transport = open(world.link.serverAppIoUrl);
  let pushes = 0;
  // The guard refuses on the headers, and 10 MiB are on their way.
  const expiring: Transport = {
    stream: transport.stream.bind(transport),
    unary(method, ...call) {
      if (method.name === "PushObject") {
        pushes += 1;
        world.clock.advance(120);
      }
      return transport.unary(method, ...call);
    },
  };
  const retried: ConnectError[] = [];
  const grid = new Grid({
    transport: inProcess(expiring),
    token,
    run: run ?? expect.fail("the run is there"),
    maxChunkBytes: chunkBytes,
    createSha256: () => createHash("sha256"),
    retry: createRetry({ maxTries: 3, onRetry: ({ error }) => retried.push(error) }),
  });
  const content = model(2 * chunkBytes);
  const message = new Message({ dstNodeId: nodeId, messageType: "train", content });
  const error = ConnectError.from(
    await grid.pushMessages([message]).catch((reason: unknown) => reason),
  );
  expect([error.code, error.rawMessage]).toEqual([Code.Unauthenticated, "Authentication failed."]);
  expect(retried, "nothing is tried again").toEqual([]);
  expect(pushes, "two at a time").toBe(2);
  const counted = world.link
    .counters()
    .find(({ service, method }) => service.endsWith("ServerAppIo") && method === "PushObject");
  expect(counted).toMatchObject({ allowed: 0, refused: 2 });
});
