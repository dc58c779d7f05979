import { Code, ConnectError, createRouterTransport, type Interceptor } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { ClientAppIo } from "../../../gen/flwr/proto/clientappio_pb.ts";
import { clientAppIoPolicy, signedClientAppIoPolicy } from "../../../src/appio/policy.ts";
import { ClientApp } from "../../../src/appio/runtime/client-app.ts";
import { runClientApp } from "../../../src/appio/runtime/run-client-app.ts";
import {
  clientAppIoService,
  signedClientAppIoService,
} from "../../../src/appio/supernode/client-app-io.ts";
import { createAuthenticatedClient } from "../../../src/client/authenticated-client.ts";
import { inProcess } from "../../../src/client/located-transport.ts";
import { createOpenClient } from "../../../src/client/open-client.ts";
import { createPartialClient } from "../../../src/client/partial-client.ts";
import { createGuard } from "../../../src/guard/guard.ts";
import { parseToken, type Token } from "../../../src/policy/token.ts";
import { instruction, replyTo, testNode } from "./test-node.ts";

/** A node whose ClientAppIo is called through the guard. */
async function servedNode() {
  const node = await testNode();
  /** What happens to a call that the guard has let in, before it is handled. */
  const meanwhile = { happens: () => {} };
  const late: Interceptor = (next) => (request) => {
    meanwhile.happens();
    return next(request);
  };
  const guard = createGuard({
    services: [clientAppIoService({ apps: node.apps, authority: node.authority })],
    verifiers: { appToken: node.authority.verifier },
    interceptors: [late],
  });
  const transport = inProcess(createRouterTransport(guard.routes));
  const open = createOpenClient(clientAppIoPolicy, transport);
  const withToken = (appToken: Token) =>
    createAuthenticatedClient(clientAppIoPolicy, transport, { appToken });
  return {
    ...node,
    meanwhile,
    transport,
    open,
    withToken,
    launch: async (runId: bigint) => {
      const token = parseToken((await open.requestToken({ runId })).token);
      return { token, app: withToken(token) };
    },
  };
}

async function refusalOf(call: Promise<unknown>): Promise<string> {
  const error = await call.then(
    () => undefined,
    (cause: unknown) => ConnectError.from(cause),
  );
  return error === undefined ? "allowed" : `${Code[error.code]}: ${error.rawMessage}`;
}

const unauthenticated = "Unauthenticated: Authentication failed.";

describe("without a token", () => {
  it("lists and claims what waits, and nothing else", async () => {
    await using node = await servedNode();
    await node.deliver(1n);
    expect((await node.open.listAppsToLaunch({})).runIds).toEqual([1n]);
    expect((await node.open.requestToken({ runId: 1n })).token).toHaveLength(256);
    expect((await node.open.requestToken({ runId: 1n })).token).toBe("");
    expect((await node.open.requestToken({ runId: 9n })).token).toBe("");
    expect((await node.open.listAppsToLaunch({})).runIds).toEqual([]);
  });

  it("shows of a run what a launcher needs", async () => {
    await using node = await servedNode();
    await node.addRun(1n);
    const { run } = await node.open.getRun({ runId: 1n });
    expect(run).toMatchObject({ runId: 1n, runType: "serverapp", fabId: "app" });
    expect(run?.overrideConfig).toEqual({});
    expect(run?.status).toMatchObject({ status: "running", details: "" });
    expect((await node.open.getRun({ runId: 2n })).run).toBeUndefined();
  });
});

describe("with a token", () => {
  it("answers for an unknown object, whatever the node knows of the run (case 6)", async () => {
    await using node = await servedNode();
    const asked = instruction(99n);
    await node.inbox.receive(asked);
    await node.inbox.arrived(asked.id);
    const { app } = await node.launch(99n);
    await node.inbox.drop(asked.id);
    expect((await node.open.getRun({ runId: 99n })).run).toBeUndefined();
    expect(await app.pullObject({ objectId: "a".repeat(64) })).toMatchObject({
      objectFound: false,
      objectAvailable: false,
    });
  });

  it("gives the run's inputs again and again", async () => {
    await using node = await servedNode();
    await node.deliver(1n);
    const { token, app } = await node.launch(1n);
    for (let call = 0; call < 2; call += 1) {
      const { run, context, fab } = await app.pullAppInputs({ token });
      expect(run).toMatchObject({ runId: 1n, overrideConfig: { key: {} } });
      expect(context?.runId).toBe(1n);
      expect(fab?.hashStr).toBe(run?.fabHash);
    }
  });

  it("extends the token by 60 s", async () => {
    await using node = await servedNode();
    await node.deliver(1n);
    const { token, app } = await node.launch(1n);
    node.pass(29_000);
    expect((await app.sendAppHeartbeat({ token })).success).toBe(true);
    node.pass(59_000);
    expect(await refusalOf(app.pullAppInputs({ token }))).toBe("allowed");
    node.pass(1_001);
    expect(await refusalOf(app.sendAppHeartbeat({ token }))).toBe(unauthenticated);
  });

  it("is refused after PushAppOutputs, and the run can be claimed for its next message (case 58)", async () => {
    await using node = await servedNode();
    await node.deliver(1n);
    await node.deliver(1n);
    const { token, app } = await node.launch(1n);
    await app.pullMessage({ token });
    const { context } = await app.pullAppInputs({ token });
    await app.pushAppOutputs({ token, ...(context ? { context } : {}) });
    expect(await refusalOf(app.pullMessage({ token }))).toBe(unauthenticated);
    expect((await node.open.listAppsToLaunch({})).runIds).toEqual([1n]);
    expect((await node.open.requestToken({ runId: 1n })).token).toHaveLength(256);
  });

  it("keeps a run's app away from another run's message, objects and context", async () => {
    await using node = await servedNode();
    await node.deliver(1n);
    const theirs = await node.deliver(2n);
    const mine = await node.launch(1n);
    const other = await node.launch(2n);
    const objectId = theirs.id;
    await other.app.pullMessage({ token: other.token });

    expect(await mine.app.pullObject({ objectId })).toMatchObject({ objectFound: false });
    expect(await refusalOf(mine.app.pullObject({ objectId, runId: 2n }))).toMatch(
      /^PermissionDenied/,
    );
    expect(await refusalOf(mine.app.pushAppOutputs({ context: { runId: 2n } }))).toMatch(
      /^PermissionDenied/,
    );
    expect(await refusalOf(mine.app.pullMessage({ token: other.token }))).toMatch(/Denied|Unauth/);
    const reply = replyTo(theirs);
    const stolen = { messagesList: [reply.message], messageObjectTrees: [reply.tree] };
    expect(await refusalOf(mine.app.pushMessage(stolen))).toMatch(/^PermissionDenied/);
    await mine.app.confirmMessageReceived({ messageObjectId: objectId });

    expect(await other.app.pullObject({ objectId })).toMatchObject({ objectAvailable: true });
    expect(await refusalOf(other.app.pushMessage(stolen))).toBe("allowed");
  });

  it("does not hand out a message where none waits", async () => {
    await using node = await servedNode();
    const asked = await node.deliver(1n);
    const { token, app } = await node.launch(1n);
    await app.pullMessage({ token });
    const reply = replyTo(asked);
    await app.pushMessage({ messagesList: [reply.message], messageObjectTrees: [reply.tree] });
    expect(await refusalOf(app.pullMessage({ token }))).toBe(
      "NotFound: No message waits for this run.",
    );
  });

  it("refuses a reply that is malformed, with what is wrong", async () => {
    await using node = await servedNode();
    const asked = await node.deliver(1n);
    const { token, app } = await node.launch(1n);
    const { message, tree } = replyTo(asked);
    const push = (messagesList: (typeof message)[], messageObjectTrees: (typeof tree)[]) =>
      refusalOf(app.pushMessage({ token, messagesList, messageObjectTrees }));
    expect(await push([message], [tree])).toBe(
      "NotFound: The reply names no message that this app has taken.",
    );
    await app.pullMessage({ token });
    const count = "InvalidArgument: Expected one message and its tree.";
    expect(await push([], [])).toBe(count);
    expect(await push([message], [])).toBe(count);
    expect(await push([message, message], [tree, tree])).toBe(count);
    expect(await push([message], [asked.tree])).toBe(
      "InvalidArgument: A message's id must be the root of its tree.",
    );
    expect(await push([message], [{ ...tree, children: [{ ...tree, objectId: "no id" }] }])).toBe(
      "InvalidArgument: Malformed PushMessages: an object id is not 64 hexadecimal characters",
    );
    expect(await push([{ ...message, content: undefined }], [tree])).toBe(
      "InvalidArgument: A message carries either content or an error.",
    );
    expect(await push([message], [tree])).toBe("allowed");
    expect(await push([replyTo(asked).message], [tree])).toMatch(/^InvalidArgument/);
  });

  it("stores announced objects of the right structure only", async () => {
    await using node = await servedNode();
    const asked = await node.deliver(1n);
    const { token, app } = await node.launch(1n);
    await app.pullMessage({ token });
    const { message, tree, objects } = replyTo(asked);
    await app.pushMessage({ token, messagesList: [message], messageObjectTrees: [tree] });
    const objectContent = new TextEncoder().encode("no object");
    const digest = await crypto.subtle.digest("SHA-256", objectContent);
    const objectId = Buffer.from(digest).toString("hex");
    expect(await refusalOf(app.pushObject({ objectId, objectContent }))).toMatch(
      /^FailedPrecondition: Object with ID .* has an unexpected structure/,
    );
    for (const [id, content] of objects) {
      expect(await app.pullObject({ objectId: id })).toMatchObject({
        objectFound: true,
        objectAvailable: false,
      });
      expect(await app.pushObject({ objectId: id, objectContent })).toMatchObject({
        stored: false,
      });
      expect(await app.pushObject({ objectId: id, objectContent: content })).toMatchObject({
        stored: true,
      });
      expect((await app.pullObject({ objectId: id })).objectContent).toEqual(content);
    }
  });
});

describe("a token that ends after the guard has let a call in", () => {
  type App = Awaited<ReturnType<Awaited<ReturnType<typeof servedNode>>["launch"]>>["app"];
  type Asked = ReturnType<typeof instruction>;
  const calls: Record<string, (app: App, asked: Asked) => Promise<unknown>> = {
    pullAppInputs: (app) => app.pullAppInputs({}),
    pullMessage: (app) => app.pullMessage({}),
    pullObject: (app, { id: objectId }) => app.pullObject({ objectId }),
    pushMessage(app, asked) {
      const { message, tree } = replyTo(asked);
      return app.pushMessage({ messagesList: [message], messageObjectTrees: [tree] });
    },
    pushObject(app, { objects }) {
      const [[objectId, objectContent] = []] = objects;
      return app.pushObject({ ...(objectId && objectContent ? { objectId, objectContent } : {}) });
    },
    confirmMessageReceived: (app, { id }) => app.confirmMessageReceived({ messageObjectId: id }),
    pushAppOutputs: (app) => app.pushAppOutputs({ context: {} }),
  };

  it.each(Object.entries(calls))("gives and changes nothing: %s", async (_, call) => {
    await using node = await servedNode();
    const asked = await node.deliver(1n);
    const { app } = await node.launch(1n);
    await app.pullMessage({});
    expect(await refusalOf(call(app, asked))).toBe("allowed");

    await using late = await servedNode();
    const askedLate = await late.deliver(1n);
    const { app: lateApp } = await late.launch(1n);
    await lateApp.pullMessage({});
    late.meanwhile.happens = () => late.pass(30_001);
    expect(await refusalOf(call(lateApp, askedLate))).toBe(unauthenticated);
  });

  it("gives and changes nothing: getRun, where SuperExecs must sign", async () => {
    await using node = await testNode();
    let isLate = false;
    const late: Interceptor = (next) => (request) => {
      node.pass(isLate ? 30_001 : 0);
      return next(request);
    };
    const guard = createGuard({
      services: [signedClientAppIoService({ apps: node.apps, authority: node.authority })],
      verifiers: { appToken: node.authority.verifier, superExecKey: () => undefined },
      interceptors: [late],
    });
    await node.deliver(1n);
    const { token } = await node.claim(1n);
    const app = createPartialClient(
      signedClientAppIoPolicy,
      inProcess(createRouterTransport(guard.routes)),
      { appToken: token },
    );
    expect((await app.getRun({})).run?.overrideConfig).toMatchObject({ key: {} });
    isLate = true;
    expect(await refusalOf(app.getRun({}))).toBe(unauthenticated);
  });

  it("is not extended", async () => {
    await using node = await servedNode();
    await node.deliver(1n);
    const { app } = await node.launch(1n);
    node.meanwhile.happens = () => node.pass(30_001);
    expect((await app.sendAppHeartbeat({})).success).toBe(false);
  });

  it("is every RPC's that takes one", () => {
    const { getRun, requestToken, listAppsToLaunch, ...protectedRpcs } = ClientAppIo.method;
    expect([...Object.keys(calls), "sendAppHeartbeat"].toSorted()).toEqual(
      Object.keys(protectedRpcs).toSorted(),
    );
  });
});

describe("the ClientApp runtime", () => {
  it("answers a message on this service", async () => {
    await using node = await servedNode();
    const asked = await node.deliver(1n);
    const { token } = await node.launch(1n);
    const app = new ClientApp().train((message) => message.reply(message.content));
    const outcome = await runClientApp({
      transport: node.transport,
      token,
      loadApp: () => ({ app }),
    });
    expect(outcome).toMatchObject({ kind: "replied", messageId: asked.id });
    const [reply] = await node.inbox.readyReplies();
    expect(reply?.instructionId).toBe(asked.id);
    expect(reply?.message.error).toBeUndefined();
    expect(await node.authority.verify(token)).not.toHaveProperty("runId");
  });
});
