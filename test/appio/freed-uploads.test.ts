import { isMessage } from "@bufbuild/protobuf";
import { createRouterTransport, type Interceptor } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
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
import { announce, type TestObject, testObject } from "./state/announcing.ts";
import { model } from "./state/drafts.ts";
import { createWorld } from "./state/world.ts";
import { deflated, testNode } from "./supernode/test-node.ts";

/** A server that takes objects, and what became of the bytes that it was sent. */
interface Receiver extends AsyncDisposable {
  /** Large enough to be freed. */
  readonly object: TestObject;
  announce(): Promise<unknown>;
  push(objectId: string, objectContent: Uint8Array): Promise<{ readonly stored: boolean }>;
  pull(objectId: string): Promise<{ readonly objectContent: Uint8Array }>;
  /** Of each upload: how many bytes it had, and how many were left of it when it had been answered. */
  readonly uploads: readonly (readonly number[])[];
}

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
  return { uploads, interceptors: [watch] };
}

const large = testObject("x".repeat(300_000));

async function serverAppIo(): Promise<Receiver> {
  const world = await createWorld();
  const { state, authority, database } = world;
  const { uploads, interceptors } = watchUploads();
  const guard = createGuard({
    services: [serverAppIoService(state, authority)],
    verifiers: { appToken: authority.verifier },
    interceptors,
  });
  const { runId, token: appToken } = await world.runningRun();
  const transport = inProcess(createRouterTransport(guard.routes));
  const app = createAuthenticatedClient(serverAppIoPolicy, transport, { appToken });
  const node = { nodeId: 1n };
  return {
    ...{ object: large, uploads },
    announce: () => announce(database, runId, objectTree(large.id)),
    push: (objectId, objectContent) => app.pushObject({ node, objectId, objectContent }),
    pull: (objectId) => app.pullObject({ node, objectId }),
    [Symbol.asyncDispose]: () => world[Symbol.asyncDispose](),
  };
}

async function fleet() {
  const world = await createWorld();
  const { state, database } = world;
  const { runId } = await world.runningRun();
  const nodeId = await world.onlineNode();
  await world.send(runId, nodeId);
  await state.instructions.take(nodeId);
  const { uploads, interceptors } = watchUploads();
  const guard = createGuard({
    services: [fleetService(state)],
    verifiers: { superNode: () => ({ nodeId }), superNodeKey: () => undefined },
    interceptors,
  });
  const transport = inProcess(createRouterTransport(guard.routes));
  const sign = signAsSuperNode(newKey());
  const node = createAuthenticatedClient(fleetPolicy, transport, {
    ...{ superNode: sign, superNodeKey: sign },
  });
  return {
    ...{ object: large, uploads },
    announce: () => announce(database, runId, objectTree(large.id)),
    push: (objectId, objectContent) => node.pushObject({ runId, objectId, objectContent }),
    pull: (objectId) => node.pullObject({ runId, objectId }),
    bytesReceived: async () => (await state.runs.find(runId))?.bytesRecv,
    [Symbol.asyncDispose]: () => world[Symbol.asyncDispose](),
  } satisfies Receiver & { bytesReceived(): Promise<bigint | undefined> };
}

async function clientAppIo(): Promise<Receiver> {
  const node = await testNode();
  const { apps, authority } = node;
  const { uploads, interceptors } = watchUploads();
  const guard = createGuard({
    services: [clientAppIoService({ apps, authority })],
    verifiers: { appToken: authority.verifier },
    interceptors,
  });
  const { asMessage } = await node.deliver(1n);
  const { token: appToken, caller } = await node.claim(1n);
  await apps.takeMessage(caller);
  const reply = deflated(asMessage.reply(model(300_000)));
  const [found] = [...reply.objects].filter(([, content]) => content.length > 300_000);
  const [id, content] = found ?? ["", new Uint8Array()];
  const transport = inProcess(createRouterTransport(guard.routes));
  const app = createAuthenticatedClient(clientAppIoPolicy, transport, { appToken });
  return {
    ...{ object: { id, content }, uploads },
    announce: () => apps.storeReply(caller, reply),
    push: (objectId, objectContent) => app.pushObject({ objectId, objectContent }),
    pull: (objectId) => app.pullObject({ objectId }),
    [Symbol.asyncDispose]: () => node[Symbol.asyncDispose](),
  };
}

describe.each([
  { name: "ServerAppIo", open: serverAppIo },
  { name: "Fleet", open: fleet },
  { name: "ClientAppIo", open: clientAppIo },
])("$name", ({ open }) => {
  it("frees an upload when it is stored, and when it was before", async () => {
    await using receiver = await open();
    const { id, content } = receiver.object;
    const bytes = content.length;
    await receiver.announce();
    expect((await receiver.push(id, content)).stored).toBe(true);
    expect((await receiver.push(id, content)).stored).toBe(true);
    expect((await receiver.pull(id)).objectContent).toEqual(content);
    expect(receiver.uploads).toEqual([
      [bytes, 0],
      [bytes, 0],
    ]);
  });

  it("leaves an upload that is not stored as it is", async () => {
    await using receiver = await open();
    const { id, content } = receiver.object;
    const bytes = content.length;
    expect((await receiver.push(id, content)).stored, "nobody has announced it").toBe(false);
    await receiver.announce();
    const others = content.toReversed();
    expect((await receiver.push(id, others)).stored, "its id is another's").toBe(false);
    expect(receiver.uploads).toEqual([
      [bytes, bytes],
      [bytes, bytes],
    ]);
  });
});

it("Fleet counts the bytes of an upload that it frees", async () => {
  await using receiver = await fleet();
  await receiver.announce();
  await receiver.push(large.id, large.content);
  expect(receiver.uploads).toEqual([[large.content.length, 0]]);
  expect(await receiver.bytesReceived()).toBe(BigInt(large.content.length));
});
