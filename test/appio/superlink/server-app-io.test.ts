import { Code } from "@connectrpc/connect";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { contentsOf } from "../../../src/appio/objects/deflate.ts";
import { inflateMessage } from "../../../src/appio/objects/inflate.ts";
import { parseToken } from "../../../src/policy/token.ts";
import { createDrafts, type Draft, model } from "../state/drafts.ts";
import { createSuperLinkWorld, failureOf } from "./world.ts";

type World = Awaited<ReturnType<typeof createSuperLinkWorld>>;
type App = ReturnType<World["app"]>;
type Fleet = ReturnType<World["fleet"]>;

const superLinkNode = { nodeId: 1n };
const refused = { code: Code.Unauthenticated, text: "Authentication failed." };
const completed = { status: "finished", subStatus: "completed" };

let world: World;
let drafts: ReturnType<typeof createDrafts>;

beforeEach(async () => {
  world = await createSuperLinkWorld();
  drafts = createDrafts(world.clock.now);
});
afterEach(async () => {
  await world.link.close();
});

/** Pushes a message and its objects as a Grid does. */
async function send(app: App, draft: Draft): Promise<void> {
  const { objectsToPush } = await app.pushMessages({
    messagesList: [draft.message],
    messageObjectTrees: [draft.tree],
  });
  for (const [objectId, objectContent] of contentsOf(draft.object)) {
    if (objectsToPush.includes(objectId)) {
      await app.pushObject({ node: superLinkNode, objectId, objectContent });
    }
  }
}

/** Pushes a reply and its objects as a SuperNode does. */
async function answer(fleet: Fleet, runId: bigint, draft: Draft): Promise<void> {
  const { objectsToPush } = await fleet.pushMessages({
    messagesList: [draft.message],
    messageObjectTrees: [draft.tree],
    clientappRuntimeList: [0.5],
  });
  for (const [objectId, objectContent] of contentsOf(draft.object)) {
    if (objectsToPush.includes(objectId)) {
      await fleet.pushObject({ runId, objectId, objectContent });
    }
  }
}

/** A text that is larger than a request may be. */
const tooLong = "x".repeat(5 * 1024 * 1024);

describe("a request that is too large", () => {
  it("is InvalidArgument, which no client of Flower's takes for an empty list", async () => {
    const { app } = await world.runningRun();
    expect(await failureOf(app.pullMessages({ messageIds: [tooLong] }))).toEqual({
      code: Code.InvalidArgument,
      text: expect.stringMatching(
        /^message size 52\d{5} is larger than configured readMaxBytes 4194304$/,
      ),
    });
  });
});

describe("who may call", () => {
  it("cases 1, 2 and 3: a running run's nodes are for the bearer of its token", async () => {
    const { runId, app } = await world.runningRun();
    const headers = { "flwr-app-token": "0".repeat(256) };
    expect(await failureOf(world.anybody.getNodes({ runId }))).toEqual(refused);
    expect(await failureOf(world.anybody.getNodes({ runId }, { headers }))).toEqual(refused);
    expect((await app.getNodes({ runId })).nodes).toEqual([]);
  });

  it("case 4: anybody may list, ask for a token and look at a run", async () => {
    const runId = await world.pendingRun();
    expect((await world.anybody.listAppsToLaunch({})).runIds).toEqual([runId]);
    expect((await world.anybody.getRun({ runId })).run?.runId).toBe(runId);
    expect((await world.anybody.requestToken({ runId })).token).toHaveLength(256);
  });

  it("a token of one run does nothing on another", async () => {
    const { runId } = await world.runningRun();
    const { app: other } = await world.runningRun();
    const permissionDenied = { code: Code.PermissionDenied };
    for (const call of [
      () => other.getNodes({ runId }),
      () => other.pushLogs({ runId, logs: ["mine"] }),
      () => other.updateRunStatus({ runId, runStatus: completed }),
      () => other.pushAppOutputs({ context: { runId, nodeId: 1n } }),
      () => other.pushMessages({ messagesList: [drafts.instruction(runId, 2n).message] }),
      () => other.pullMessages({ runId, messageIds: ["a".repeat(64)] }),
      () => other.confirmMessageReceived({ runId, messageObjectId: "a".repeat(64) }),
      () => other.pushObject({ runId, node: superLinkNode, objectId: "a".repeat(64) }),
      () => other.pullObject({ runId, node: superLinkNode, objectId: "a".repeat(64) }),
      () => other.getFederationOptions({ runId }),
    ]) {
      expect(await failureOf(call())).toMatchObject(permissionDenied);
    }
    expect((await world.state.runs.find(runId))?.status?.status).toBe("running");
    expect((await world.state.logs.after(runId, 0)).text).toBe("");
  });
});

describe("a run's way through its statuses", () => {
  it("cases 19, 20 and 21: it is claimed once and started once", async () => {
    const runId = await world.pendingRun();
    const { token } = await world.anybody.requestToken({ runId });
    expect(token).toMatch(/^[0-9a-f]{256}$/);
    expect((await world.anybody.requestToken({ runId })).token).toBe("");
    expect((await world.anybody.getRun({ runId })).run?.status?.status).toBe("starting");
    const { app, runId: second } = await world.startingRun();
    const inputs = await app.pullAppInputs({});
    expect(inputs).toMatchObject({
      context: { runId: second, nodeId: 1n },
      run: { runId: second, status: { status: "running" } },
    });
    expect(inputs.fab?.hashStr).toBe(inputs.run?.fabHash);
    expect(await failureOf(app.pullAppInputs({}))).toEqual({
      code: Code.FailedPrecondition,
      text: `Failed to start run ${second}`,
    });
  });

  it("ends, and says why, when the answer with its token or its inputs was lost", async () => {
    const claimed = await world.pendingRun();
    await world.anybody.requestToken({ runId: claimed });
    const { runId: started, app } = await world.startingRun();
    await app.pullAppInputs({});
    // The same calls again get nothing: one claim, one start.
    expect((await world.anybody.requestToken({ runId: claimed })).token).toBe("");
    expect(await failureOf(app.pullAppInputs({}))).toMatchObject({
      code: Code.FailedPrecondition,
    });
    world.clock.advance(30.001);
    for (const runId of [claimed, started]) {
      expect((await world.state.runs.find(runId))?.status).toMatchObject({
        status: "finished",
        subStatus: "failed",
        details: "No heartbeat received from the run.",
      });
    }
  });

  it("grants the empty token for unknown and finished runs", async () => {
    const { runId, app } = await world.runningRun();
    await app.updateRunStatus({ runStatus: completed });
    expect((await world.anybody.requestToken({ runId })).token).toBe("");
    expect((await world.anybody.requestToken({ runId: 424242n })).token).toBe("");
  });

  it("case 22: a run that is not running is told so", async () => {
    const { app } = await world.startingRun();
    const text = "Run is starting.";
    const calls = [
      () => app.getNodes({}),
      () => app.pushMessages({}),
      () => app.pullMessages({ messageIds: ["a"] }),
      () => app.pushAppOutputs({ context: { nodeId: 1n } }),
      () => app.pushObject({ node: superLinkNode, objectId: "a".repeat(64) }),
      () => app.pullObject({ node: superLinkNode, objectId: "a".repeat(64) }),
      () => app.confirmMessageReceived({ messageObjectId: "a".repeat(64) }),
    ];
    for (const call of calls) {
      expect(await failureOf(call())).toEqual({ code: Code.PermissionDenied, text });
    }
  });

  it("case 16: outputs leave the token alive", async () => {
    const { runId, app } = await world.runningRun();
    await app.pushAppOutputs({ context: { runId, nodeId: 1n } });
    await app.pushLogs({ runId, logs: ["last ", "words\n"] });
    expect((await world.state.logs.after(runId, 0)).text).toBe("last words\n");
    expect(await failureOf(app.pushAppOutputs({}))).toMatchObject({ code: Code.InvalidArgument });
  });

  it("cases 17 and 18: finishing ends the token", async () => {
    const { runId, token, app } = await world.runningRun();
    await app.updateRunStatus({ runId, runStatus: completed });
    expect((await world.state.runs.find(runId))?.status).toMatchObject(completed);
    for (const call of [
      () => app.getNodes({}),
      () => app.pullAppInputs({}),
      () => app.sendAppHeartbeat({ token }),
    ]) {
      expect(await failureOf(call())).toEqual(refused);
    }
  });

  it("a refused change leaves the token alive", async () => {
    const { app } = await world.startingRun();
    expect(await failureOf(app.updateRunStatus({ runStatus: completed }))).toMatchObject({
      code: Code.FailedPrecondition,
    });
    expect(await failureOf(app.updateRunStatus({}))).toMatchObject({
      code: Code.FailedPrecondition,
    });
    await app.pullAppInputs({});
  });

  it("a heartbeat extends the caller's token, named in the body or not", async () => {
    const { token, app } = await world.runningRun();
    world.clock.advance(29);
    expect((await app.sendAppHeartbeat({})).success).toBe(true);
    world.clock.advance(59);
    expect((await app.sendAppHeartbeat({ token })).success).toBe(true);
    const other = "f".repeat(256);
    expect(await failureOf(app.sendAppHeartbeat({ token: other }))).toMatchObject({
      code: Code.PermissionDenied,
    });
    world.clock.advance(61);
    expect(await failureOf(app.sendAppHeartbeat({ token }))).toEqual(refused);
  });
});

describe("what anybody may know of a run", () => {
  it("is its type, its status and its bundle", async () => {
    const { runIds } = await world.control.startRuns({
      fab: new Uint8Array([1, 2, 3]),
      runType: "simulation",
      overrideConfig: { key: { scalar: { case: "string", value: "secret" } } },
    });
    const runId = runIds[0] ?? 0n;
    await world.state.runs.updateStatus(runId, {
      status: "finished",
      subStatus: "failed",
      details: "secret",
    });
    const { run } = await world.anybody.getRun({ runId });
    expect(run).toMatchObject({
      ...{ runId, runType: "simulation", overrideConfig: {}, pendingAt: "", federation: "" },
      status: { status: "finished", subStatus: "failed", details: "" },
    });
    expect(run?.fabHash).toMatch(/^[0-9a-f]{64}$/);
    expect((await world.anybody.getRun({ runId: 5n })).run, "unknown").toBeUndefined();
  });
});

describe("federation options", () => {
  it("case 26: are those that the run was created with", async () => {
    const { runIds } = await world.control.startRuns({
      fab: new Uint8Array([1]),
      federationOptions: {
        "num-supernodes": { scalar: { case: "sint64", value: 3n } },
        backend: { scalar: { case: "string", value: "ray" } },
      },
    });
    const { token } = await world.anybody.requestToken({ runId: runIds[0] ?? 0n });
    const { federationOptions } = await world.app(parseToken(token)).getFederationOptions({});
    expect(federationOptions?.items.map(({ key, value }) => [key, value?.value.value])).toEqual([
      ["num-supernodes", 3n],
      ["backend", "ray"],
    ]);
  });
});

describe("the settings of a simulation", () => {
  it("come with its inputs, and with those of no other run", async () => {
    const inputsOf = async (runType: string) => {
      const { runIds } = await world.control.startRuns({
        fab: new Uint8Array([1]),
        runType,
        federationOptions: { "num-supernodes": { scalar: { case: "sint64", value: 3n } } },
      });
      const { token } = await world.anybody.requestToken({ runId: runIds[0] ?? 0n });
      return world.app(parseToken(token)).pullAppInputs({});
    };
    expect((await inputsOf("simulation")).federationConfig).toMatchObject({ numSupernodes: 3 });
    expect((await inputsOf("serverapp")).federationConfig).toBeUndefined();
  });
});

describe("messages", () => {
  it("case 42: go to the node and back, once each way", async () => {
    const { runId, app } = await world.runningRun();
    const { nodeId, fleet } = await world.onlineNode();
    expect((await app.getNodes({})).nodes).toMatchObject([{ nodeId }]);
    const instruction = drafts.instruction(runId, nodeId);
    await send(app, instruction);

    const pulled = await fleet.pullMessages({ node: { nodeId } });
    expect(pulled.messagesList).toEqual([instruction.message]);
    expect(pulled.messageObjectTrees).toEqual([instruction.tree]);
    expect((await fleet.pullMessages({ node: { nodeId } })).messagesList).toEqual([]);
    const contents = new Map<string, Uint8Array>();
    for (const [objectId] of contentsOf(instruction.object)) {
      const found = await fleet.pullObject({ runId, objectId });
      contents.set(objectId, found.objectContent);
    }
    expect(inflateMessage(instruction.id, contents).hasContent()).toBe(true);
    await fleet.confirmMessageReceived({ runId, messageObjectId: instruction.id });

    const reply = drafts.reply(instruction);
    await answer(fleet, runId, reply);
    const asked = { messageIds: [instruction.id] };
    const first = await app.pullMessages(asked);
    expect(first.messagesList).toEqual([reply.message]);
    expect(first.messageObjectTrees).toEqual([reply.tree]);
    expect(await app.pullMessages(asked), "a lost answer loses nothing").toEqual(first);
    const object = await app.pullObject({ node: superLinkNode, objectId: reply.id });
    expect(object).toMatchObject({ objectFound: true, objectAvailable: true });
    await app.confirmMessageReceived({ messageObjectId: reply.id });
    const [after] = (await app.pullMessages(asked)).messagesList;
    expect(after?.error?.code).toBe(3n);

    const run = await world.state.runs.find(runId);
    expect(run).toMatchObject({ clientappRuntime: 0.5 });
    expect(run?.bytesSent).toBeGreaterThan(0n);
    expect(run?.bytesRecv).toBeGreaterThan(0n);
  });

  it("whose node goes before it has pushed their objects are not waited for", async () => {
    const { runId, app } = await world.runningRun();
    const { nodeId, fleet } = await world.onlineNode();
    const instruction = drafts.instruction(runId, nodeId);
    await send(app, instruction);
    await fleet.pullMessages({ node: { nodeId } });
    const reply = drafts.reply(instruction);
    await fleet.pushMessages({ messagesList: [reply.message], messageObjectTrees: [reply.tree] });
    const asked = { messageIds: [instruction.id] };
    expect((await app.pullMessages(asked)).messagesList).toEqual([reply.message]);
    const pull = () => app.pullObject({ node: superLinkNode, objectId: reply.id });
    expect(await pull()).toMatchObject({ objectFound: true, objectAvailable: false });
    await fleet.deactivateNode({ nodeId });
    world.clock.advance(1);
    expect(await pull()).toMatchObject({ objectFound: false, objectAvailable: false });
  });

  it("case 39: an unknown destination leaves its place empty", async () => {
    const { runId, app } = await world.runningRun();
    const { message, tree } = drafts.instruction(runId, 99n);
    const pushed = await app.pushMessages({ messagesList: [message], messageObjectTrees: [tree] });
    expect(pushed.messageIds).toEqual([""]);
  });

  it("that are malformed are refused, all of them", async () => {
    const { app } = await world.runningRun();
    expect(await failureOf(app.pushMessages({}))).toEqual({
      code: Code.InvalidArgument,
      text: "Malformed PushMessages: there are no messages",
    });
  });
});

describe("objects", () => {
  it("case 46: are pushed and pulled as the SuperLink's node", async () => {
    const { app } = await world.runningRun();
    const objectId = "a".repeat(64);
    const expected = { code: Code.FailedPrecondition, text: "Unexpected node ID." };
    for (const node of [{ nodeId: 2n }, { nodeId: 0n }, undefined]) {
      const request = { objectId, ...(node === undefined ? {} : { node }) };
      expect(await failureOf(app.pushObject(request))).toEqual(expected);
      expect(await failureOf(app.pullObject(request))).toEqual(expected);
    }
    const found = await app.pullObject({ node: superLinkNode, objectId });
    expect(found).toMatchObject({ objectFound: false, objectAvailable: false });
    expect(await app.pushObject({ node: superLinkNode, objectId })).toMatchObject({
      stored: false,
    });
    // Whoever confirms need not say which node it is.
    await app.confirmMessageReceived({ messageObjectId: objectId });
  });

  it("may be larger than other requests", async () => {
    const { runId, app } = await world.runningRun();
    const { nodeId, fleet } = await world.onlineNode();
    const draft = drafts.instruction(runId, nodeId, {
      content: model(5_000_000),
    });
    await send(app, draft);
    await fleet.pullMessages({});
    const chunks = [...contentsOf(draft.object)];
    const [objectId, content] = chunks[0] ?? ["", new Uint8Array()];
    const found = await app.pullObject({ node: superLinkNode, objectId });
    expect(Buffer.compare(found.objectContent, content)).toBe(0);
    const pulled = await fleet.pullObject({ runId, objectId });
    expect(pulled.objectContent.length).toBeGreaterThan(5_000_000);
  });
});
