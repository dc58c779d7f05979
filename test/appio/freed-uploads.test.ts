import { isMessage } from "@bufbuild/protobuf";
import { createRouterTransport, type Interceptor } from "@connectrpc/connect";
import { expect, it } from "vitest";
import { PushObjectRequestSchema } from "../../gen/flwr/proto/message_pb.ts";
import { signAsSuperNode } from "../../src/appio/credentials/super-node-signer.ts";
import { objectTree } from "../../src/appio/objects/object-tree.ts";
import { clientAppIoPolicy, fleetPolicy, serverAppIoPolicy } from "../../src/appio/policy.ts";
import { fleetService } from "../../src/appio/superlink/fleet.ts";
import { serverAppIoService } from "../../src/appio/superlink/server-app-io.ts";
import { clientAppIoService } from "../../src/appio/supernode/client-app-io.ts";
import { createAuthenticatedClient } from "../../src/client/authenticated-client.ts";
import { inProcess } from "../../src/client/located-transport.ts";
import { createGuard } from "../../src/guard/guard.ts";
import { newKey } from "./credentials/keys.ts";
import { announce, testObject } from "./state/announcing.ts";
import { model } from "./state/drafts.ts";
import { createWorld } from "./state/world.ts";
import { deflated, testNode } from "./supernode/test-node.ts";

/** Notes how many bytes an upload has, and how many are left of it when it has been answered. */
function watchUploads() {
  const uploads: number[][] = [];
  const watch: Interceptor = (next) => async (request) => {
    if (request.stream || !isMessage(request.message, PushObjectRequestSchema)) {
      return next(request);
    }
    const { objectContent } = request.message;
    const sent = objectContent.length;
    try {
      return await next(request);
    } finally {
      uploads.push([sent, objectContent.length]);
    }
  };
  return { uploads, watch };
}

const large = testObject("x".repeat(300_000));

/** A running run, and ServerAppIo for its app. */
async function watchedApp({
  state,
  authority,
  runningRun,
}: Awaited<ReturnType<typeof createWorld>>) {
  const { uploads, watch } = watchUploads();
  const guard = createGuard({
    services: [serverAppIoService(state, authority)],
    verifiers: { appToken: authority.verifier },
    interceptors: [watch],
  });
  const { runId, token: appToken } = await runningRun();
  const transport = inProcess(createRouterTransport(guard.routes));
  const app = createAuthenticatedClient(serverAppIoPolicy, transport, { appToken });
  return { runId, app, uploads };
}

it("ServerAppIo frees an upload when it is stored", async () => {
  await using world = await createWorld();
  const { runId, app, uploads } = await watchedApp(world);
  await announce(world.database, runId, objectTree(large.id));
  const node = { nodeId: 1n };
  const request = { node, objectId: large.id, objectContent: large.content };
  expect((await app.pushObject(request)).stored).toBe(true);
  expect((await app.pullObject(request)).objectContent).toEqual(large.content);
  expect(uploads).toEqual([[large.content.length, 0]]);
});

it("leaves an upload that is not stored as it is", async () => {
  await using world = await createWorld();
  const { runId, app, uploads } = await watchedApp(world);
  const request = { node: { nodeId: 1n }, objectId: large.id, objectContent: large.content };
  expect((await app.pushObject(request)).stored, "nobody has announced it").toBe(false);
  await announce(world.database, runId, objectTree(large.id));
  const other = { ...request, objectContent: large.content.toReversed() };
  expect((await app.pushObject(other)).stored, "its id is another's").toBe(false);
  const bytes = large.content.length;
  expect(uploads).toEqual([
    [bytes, bytes],
    [bytes, bytes],
  ]);
});

it("Fleet frees an upload when it is stored, and counts it", async () => {
  await using world = await createWorld();
  const { state, database } = world;
  const { runId } = await world.runningRun();
  const nodeId = await world.onlineNode();
  await world.send(runId, nodeId);
  await state.instructions.take(nodeId);
  const { uploads, watch } = watchUploads();
  const guard = createGuard({
    services: [fleetService(state)],
    verifiers: { superNode: () => ({ nodeId }), superNodeKey: () => undefined },
    interceptors: [watch],
  });
  const transport = inProcess(createRouterTransport(guard.routes));
  const sign = signAsSuperNode(newKey());
  const fleet = createAuthenticatedClient(fleetPolicy, transport, {
    ...{ superNode: sign, superNodeKey: sign },
  });
  await announce(database, runId, objectTree(large.id));
  const request = { runId, objectId: large.id, objectContent: large.content };
  expect((await fleet.pushObject(request)).stored).toBe(true);
  expect(uploads).toEqual([[large.content.length, 0]]);
  expect((await state.runs.find(runId))?.bytesRecv).toBe(BigInt(large.content.length));
});

it("ClientAppIo frees an upload when it is stored", async () => {
  await using node = await testNode();
  const { apps, authority } = node;
  const { uploads, watch } = watchUploads();
  const guard = createGuard({
    services: [clientAppIoService({ apps, authority })],
    verifiers: { appToken: authority.verifier },
    interceptors: [watch],
  });
  const { asMessage } = await node.deliver(1n);
  const { token: appToken, caller } = await node.claim(1n);
  await apps.takeMessage(caller);
  const reply = deflated(asMessage.reply(model(300_000)));
  const transport = inProcess(createRouterTransport(guard.routes));
  const app = createAuthenticatedClient(clientAppIoPolicy, transport, { appToken });
  for (const objectId of await apps.storeReply(caller, reply)) {
    const objectContent = reply.objects.get(objectId) ?? new Uint8Array();
    expect((await app.pushObject({ objectId, objectContent })).stored).toBe(true);
  }
  expect(uploads.filter(([sent = 0]) => sent > 300_000)).toEqual([[expect.any(Number), 0]]);
});
