import { generateKeyPairSync } from "node:crypto";
import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { readPublicKey } from "../../../src/appio/credentials/public-key.ts";
import type { ChildHandle } from "../../../src/appio/launch/child.ts";
import { runSuperExec } from "../../../src/appio/launch/superexec.ts";
import { ConfigRecord } from "../../../src/appio/objects/config-record.ts";
import { contentsOf, deflate, treeOf } from "../../../src/appio/objects/deflate.ts";
import { Message } from "../../../src/appio/objects/message.ts";
import { metadataFromProto } from "../../../src/appio/objects/metadata.ts";
import { objectIdsOf } from "../../../src/appio/objects/object-tree.ts";
import { RecordDict } from "../../../src/appio/objects/record-dict.ts";
import { ClientApp } from "../../../src/appio/runtime/client-app.ts";
import { configFromScalars } from "../../../src/appio/runtime/config-values.ts";
import { runClientApp } from "../../../src/appio/runtime/run-client-app.ts";
import { digestToken } from "../../../src/policy/token.ts";
import { type Front, startFront } from "../../postgres/replicas/front.ts";
import { flowerArchive, flowerManifest } from "../launch/flower-archive.ts";
import { appOf, atTestEnd, eventually, grpcTo, nodeOf, runOf, superLink } from "./linked-node.ts";

/** Launches this app for every message of the node until the test ends. */
function runApps(clientAppIoUrl: string, app: ClientApp): void {
  const stopping = new AbortController();
  const transport = grpcTo(clientAppIoUrl);
  const launched = runSuperExec({
    appIo: clientAppIoUrl,
    pluginType: "clientapp",
    pollIntervalMs: 10,
    signal: stopping.signal,
    launch: ({ token }): ChildHandle => {
      const exited = runClientApp({ transport, token, loadApp: () => ({ app }) }).then(() => ({
        code: 0,
        signal: null,
      }));
      return { pid: undefined, exited, stop: () => exited };
    },
  });
  atTestEnd(async () => {
    stopping.abort();
    await launched;
  });
}

const counting = new ClientApp().train((message, context) => {
  const before = context.state.find("count");
  const count = before instanceof ConfigRecord ? before.get("count") : 0n;
  context.state.set("count", new ConfigRecord({ count: BigInt(Number(count)) + 1n }));
  return message.reply(new RecordDict({ count: new ConfigRecord({ count }) }));
});

describe("a SuperNode", () => {
  it("carries messages to ClientApps and their replies, with all objects, back", async () => {
    const link = await superLink();
    const node = await nodeOf(link);
    runApps(node.clientAppIoUrl, counting);
    const { runId } = await link.runningRun();
    const bodies: string[] = [];
    for (let round = 0; round < 2; round += 1) {
      const sent = await link.send(runId, node.nodeId);
      const find = () => link.state.replies.find(runId, [sent.id]);
      await eventually(async () => (await find()).length).toBe(1);
      const [reply] = await find();
      expect(reply?.message.error).toBeUndefined();
      expect(reply?.message.metadata).toMatchObject({ srcNodeId: node.nodeId, dstNodeId: 1n });
      for (const id of reply ? objectIdsOf(reply.tree) : []) {
        await eventually(
          async () => (await link.state.objects.get(runId, id))?.content,
        ).toBeDefined();
        const content = (await link.state.objects.get(runId, id))?.content;
        bodies.push(new TextDecoder().decode(content));
      }
      // The node has confirmed the instruction: nobody needs its objects any more.
      expect(await link.state.objects.get(runId, sent.id)).toBeUndefined();
    }
    // The second message found the context that the first one left.
    expect(bodies.filter((body) => body.startsWith("ConfigRecord"))).toEqual([
      expect.stringContaining("\x10\x00"),
      expect.stringContaining("\x10\x02"),
    ]);
    expect(node.log).toEqual([]);
    expect(node.counters().find(({ method }) => method.endsWith("PullMessage"))?.allowed).toBe(2);
  });

  it("answers a request that is too large with a code that no client takes for an empty list", async () => {
    const link = await superLink();
    const node = await nodeOf(link);
    const { runId } = await link.runningRun();
    await link.send(runId, node.nodeId);
    const { app } = await appOf(node, runId);
    const tooLong = app.confirmMessageReceived({ messageObjectId: "x".repeat(5 * 1024 * 1024) });
    await expect(tooLong).rejects.toMatchObject({ code: Code.InvalidArgument });
  });

  it("gives ClientApps its own configuration and the run's", async () => {
    const link = await superLink();
    const node = await nodeOf(link, { nodeConfig: { partition: 3n } });
    const { runId } = await link.runningRun();
    await link.send(runId, node.nodeId);
    const { token, app } = await appOf(node, runId);
    const { context, run, fab } = await app.pullAppInputs({ token });
    expect(context).toMatchObject({ runId, nodeId: node.nodeId });
    expect(context?.nodeConfig.partition?.scalar).toEqual({ case: "sint64", value: 3n });
    expect(run?.fabHash).toBe(fab?.hashStr);
  });

  it("fuses the bundle's default configuration with the run's overrides", async () => {
    const link = await superLink();
    const node = await nodeOf(link);
    const runId = await runOf(link, { "learning-rate": { case: "double", value: 0.5 } });
    await link.send(runId, node.nodeId);
    const { token, app } = await appOf(node, runId);
    const { context } = await app.pullAppInputs({ token });
    expect(configFromScalars(context?.runConfig ?? {})).toEqual({
      "learning-rate": 0.5,
      "model.layers": 2,
    });
  });

  it("fuses the default configuration of a Flower App Bundle, whose ClientApps take it from the node", async () => {
    const link = await superLink();
    const node = await nodeOf(link);
    const overrides = { "num-rounds": { case: "sint64", value: 5n } } as const;
    const runId = await runOf(link, overrides, flowerArchive(flowerManifest));
    await link.send(runId, node.nodeId);
    const { token, app } = await appOf(node, runId);
    const { context } = await app.pullAppInputs({ token });
    expect(configFromScalars(context?.runConfig ?? {})).toEqual({
      "num-rounds": 5n,
      "learning-rate": 1,
      label: "größe",
      "model.layers": 2n,
      "model.frozen": true,
    });
  });

  it("answers for a run whose configuration does not fit its bundle", async () => {
    const link = await superLink();
    const node = await nodeOf(link);
    const runId = await runOf(link, { "learning-rat": { case: "double", value: 0.5 } });
    const sent = await link.send(runId, node.nodeId);
    const find = () => link.state.replies.find(runId, [sent.id]);
    await eventually(async () => (await find())[0]?.message.error).toMatchObject({
      code: 7n,
      reason: expect.stringContaining("learning-rat"),
    });
  });

  it("answers for a ClientApp that died with its message", async () => {
    const link = await superLink();
    const node = await nodeOf(link);
    const run = await link.runningRun();
    const sent = await link.send(run.runId, node.nodeId);
    const { token, app } = await appOf(node, run.runId);
    await app.pullMessage({ token });
    await link.authority.extend(digestToken(run.token));
    link.clock.advance(31);
    const find = () => link.state.replies.find(run.runId, [sent.id]);
    await eventually(async () => (await find())[0]?.message.error).toMatchObject({
      code: 8n,
      reason: "ClientApp stopped responding.",
    });
    const [reply] = await find();
    await eventually(
      async () => (await link.state.objects.get(run.runId, reply?.tree.objectId ?? ""))?.content,
    ).toBeDefined();
  });

  it("answers for a message whose objects never come", async () => {
    const link = await superLink();
    const node = await nodeOf(link, { pulling: { maxTriesPerObject: 1 } });
    const { runId } = await link.runningRun();
    const draft = link.instruction(runId, node.nodeId);
    await link.state.instructions.push(runId, [draft.message], [draft.tree]);
    const find = () => link.state.replies.find(runId, [draft.id]);
    await eventually(async () => (await find())[0]?.message.error?.code).toBe(3n);
    expect((await node.bootstrap.listAppsToLaunch({})).runIds).toEqual([]);
  });

  it("gives up a message that expires while its objects come, and goes on", async () => {
    const link = await superLink();
    const pulling = { initialBackoffMs: 10, maxBackoffMs: 10, maxTriesPerObject: 1e6 };
    const node = await nodeOf(link, { pulling });
    const { runId } = await link.runningRun();
    const draft = link.instruction(runId, node.nodeId, { ttlSeconds: 10 });
    await link.state.instructions.push(runId, [draft.message], [draft.tree]);
    await eventually(() => link.state.instructions.holds(node.nodeId, runId)).toBe(true);
    link.clock.advance(10);
    await eventually(() => node.log).toEqual([
      `Dropped message ${draft.id}: Run ID not found: ${runId}`,
    ]);
    const [late] = await link.state.replies.find(runId, [draft.id]);
    expect(late?.message.error?.code, "message unavailable").toBe(3n);
    await link.send(runId, node.nodeId);
    await appOf(node, runId);
  });

  it("hands out a message that the SuperLink did not let it confirm", async () => {
    const link = await superLink();
    const refuse: Interceptor = (next) => (request) => {
      if (request.method.name === "ConfirmMessageReceived") {
        throw new ConnectError("a passing trouble", Code.Internal);
      }
      return next(request);
    };
    const node = await nodeOf(link, {}, refuse);
    const { runId } = await link.runningRun();
    const sent = await link.send(runId, node.nodeId);
    await appOf(node, runId);
    expect(node.log).toEqual([
      `Could not confirm message ${sent.id}: [internal] a passing trouble`,
    ]);
  });

  it("answers for a run whose bundle is not what the run says", async () => {
    const link = await superLink();
    const exchangeFab: Interceptor = (next) => async (request) => {
      const response = await next(request);
      if (request.method.name === "GetFab" && !response.stream && "fab" in response.message) {
        Object.assign(response.message.fab ?? {}, { content: new Uint8Array([1]) });
      }
      return response;
    };
    const node = await nodeOf(link, {}, exchangeFab);
    const { runId } = await link.runningRun();
    const sent = await link.send(runId, node.nodeId);
    const find = () => link.state.replies.find(runId, [sent.id]);
    await eventually(async () => (await find())[0]?.message.error).toMatchObject({
      code: 7n,
      reason: "The app bundle that arrived is not the run's.",
    });
  });

  it("drops what belongs to a run that has ended, and goes on", async () => {
    const link = await superLink();
    const node = await nodeOf(link);
    const ended = await link.runningRun();
    await link.send(ended.runId, node.nodeId);
    const { token, app } = await appOf(node, ended.runId);
    const { messagesList } = await app.pullMessage({ token });
    await link.state.runs.stop(ended.runId);
    const { context } = await app.pullAppInputs({ token });
    await app.pushAppOutputs(context ? { token, context } : { token });
    expect(messagesList).toHaveLength(1);

    runApps(node.clientAppIoUrl, counting);
    const { runId } = await link.runningRun();
    const sent = await link.send(runId, node.nodeId);
    await eventually(async () => (await link.state.replies.find(runId, [sent.id])).length).toBe(1);
    expect(node.log).toEqual([expect.stringContaining("its run is not running")]);
  });

  it("handles one message at a time, or as many as it is told", async () => {
    const link = await superLink();
    const one = await nodeOf(link);
    const two = await nodeOf(link, { maxConcurrentMessages: 2 });
    const runs = [await link.runningRun(), await link.runningRun()];
    for (const { runId } of runs) {
      await link.send(runId, one.nodeId);
      await link.send(runId, two.nodeId);
    }
    const listed = async (node: typeof one) =>
      (await node.bootstrap.listAppsToLaunch({})).runIds.toSorted();
    const runIds = runs.map(({ runId }) => runId).toSorted();
    await eventually(() => listed(two)).toEqual(runIds);
    await eventually(() => listed(one)).toHaveLength(1);
    const [first = 0n] = await listed(one);
    const { token, app } = await appOf(one, first);
    expect(await listed(one)).toEqual([]);
    await app.pullMessage({ token });
    await app.pushAppOutputs({ token, context: {} });
    await eventually(() => listed(one)).toEqual(runIds.filter((runId) => runId !== first));
  });

  it("handles as many as it is told after one was delivered again while it came in", async () => {
    const link = await superLink();
    const arriving = Promise.withResolvers<void>();
    const release = Promise.withResolvers<void>();
    const hold: Interceptor = (next) => async (request) => {
      if (request.method.name === "PullObject") {
        arriving.resolve();
        await release.promise;
      }
      return next(request);
    };
    const node = await nodeOf(link, { maxConcurrentMessages: 2 }, hold);
    const runs = [await link.runningRun(), await link.runningRun()];
    const [slow = { runId: 0n }] = runs;
    const sent = await link.send(slow.runId, node.nodeId);
    await arriving.promise;
    link.clock.advance(11);
    await eventually(() => node.log).toContain(
      `Message ${sent.id} was delivered again while it is being handled.`,
    );
    release.resolve();
    const { token, app } = await appOf(node, slow.runId);
    await app.pullMessage({ token });
    await app.pushAppOutputs({ token, context: {} });
    const find = () => link.state.replies.find(slow.runId, [sent.id]);
    await eventually(async () => (await find()).length).toBe(1);

    for (const { runId } of runs) {
      await link.send(runId, node.nodeId);
    }
    const runIds = runs.map(({ runId }) => runId).toSorted();
    await eventually(async () =>
      (await node.bootstrap.listAppsToLaunch({})).runIds.toSorted(),
    ).toEqual(runIds);
  });

  describe("answers for a reply that the SuperLink refuses:", () => {
    /** Answers an instruction with what `spoil` makes of the reply; returns what the ServerApp gets. */
    async function answered(
      spoil: (reply: Message) => Message,
      announcedAs: (reply: Message) => Message = spoil,
      ...interceptors: Interceptor[]
    ) {
      const link = await superLink();
      const node = await nodeOf(link, {}, ...interceptors);
      const { runId } = await link.runningRun();
      const sent = await link.send(runId, node.nodeId);
      const { token, app } = await appOf(node, runId);
      const { messagesList } = await app.pullMessage({ token });
      const asked = new Message(metadataFromProto(messagesList[0]?.metadata), {
        content: new RecordDict(),
      });
      const reply = asked.reply(new RecordDict(), { now: link.clock.now });
      const object = deflate(spoil(reply));
      const messages = [announcedAs(reply).withMetadata({ messageId: object.id }).toProto()];
      const trees = [treeOf(object)];
      await app.pushMessage({ token, messagesList: messages, messageObjectTrees: trees });
      for (const [objectId, objectContent] of contentsOf(object)) {
        await app.pushObject({ objectId, objectContent });
      }
      const find = async () => (await link.state.replies.find(runId, [sent.id]))[0];
      await app.pushAppOutputs({ token, context: {} });
      return { find, sent, node, link, runId };
    }

    const same = (reply: Message) => reply;

    it("its time to live is beyond the instruction's", async () => {
      const tooLong = (reply: Message) => reply.withMetadata({ ttlSeconds: 1e6 });
      const { find, sent, node } = await answered(tooLong);
      await eventually(async () => (await find())?.message.error).toMatchObject({
        code: 4n,
        reason:
          "The SuperLink did not take the ClientApp's reply: the instruction has expired, does not live that long, or has another answer",
      });
      expect(node.log).toEqual([
        expect.stringContaining(`The SuperLink did not take the reply to message ${sent.id}: `),
      ]);
    });

    it("its metadata breaks a rule", async () => {
      const { find } = await answered((reply) => reply.withMetadata({ ttlSeconds: -1 }));
      await eventually(async () => (await find())?.message.error).toMatchObject({
        code: 4n,
        reason: expect.stringContaining("[invalid_argument]"),
      });
    });

    it("its object says something else than its announcement", async () => {
      const { find } = await answered(
        (reply) => reply.withMetadata({ srcNodeId: 99n }),
        (reply) => reply,
      );
      await eventually(async () => (await find())?.message.error).toMatchObject({
        code: 4n,
        reason: expect.stringContaining("its object does not say what it was announced with"),
      });
    });

    it("but not a second time, and goes on", async () => {
      let refusals = 0;
      const refuse: Interceptor = (next) => (request) => {
        if (request.method.name === "PushMessages" && refusals < 2) {
          refusals += 1;
          throw new ConnectError("not this one", Code.Internal);
        }
        return next(request);
      };
      const { node, sent, link, runId, find } = await answered(same, same, refuse);
      const refused = `The SuperLink did not take the reply to message ${sent.id}: [internal] not this one`;
      await eventually(() => node.log).toEqual([refused, refused]);
      expect(await find()).toBeUndefined();
      const next = await link.send(runId, node.nodeId);
      runApps(node.clientAppIoUrl, counting);
      await eventually(async () => (await link.state.replies.find(runId, [next.id])).length).toBe(
        1,
      );
    });

    it("and says so when only its objects are refused", async () => {
      const refuse: Interceptor = (next) => (request) => {
        if (request.method.name === "PushObject") {
          throw new ConnectError("no room", Code.Internal);
        }
        return next(request);
      };
      const { node, sent } = await answered(same, same, refuse);
      await eventually(() => node.log).toEqual([
        `The SuperLink did not take all objects of the reply to message ${sent.id}: [internal] no room`,
      ]);
    });
  });

  it("leaves the SuperLink when it is stopped", async () => {
    const link = await superLink();
    const node = await nodeOf(link);
    const { runId } = await link.runningRun();
    const draft = link.instruction(runId, node.nodeId);
    await node.close();
    await node.ended;
    const { messageIds } = await link.state.instructions.push(runId, [draft.message], [draft.tree]);
    expect(messageIds).toEqual([""]);
    await expect(node.bootstrap.listAppsToLaunch({})).rejects.toMatchObject({
      code: Code.Unavailable,
    });
    expect(node.log).toEqual([]);
  });

  it("with a key that the SuperLink knows neither registers nor unregisters", async () => {
    const link = await superLink();
    const { nodes } = link.state;
    const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const pem = publicKey.export({ type: "spki", format: "pem" }).toString();
    const known = Buffer.from(readPublicKey(pem, "key").pem);
    await expect(nodeOf(link, { privateKey })).rejects.toThrow(ConnectError);

    await nodes.registerOnce(known);
    const nodeId = await nodes.idOf(known);
    const first = await nodeOf(link, { privateKey });
    expect(first.nodeId).toBe(nodeId);
    await first.close();
    expect(await nodes.listOnline()).toEqual([]);
    const second = await nodeOf(link, { privateKey });
    expect(second.nodeId).toBe(nodeId);
    expect(await nodes.listOnline()).toEqual([nodeId]);
  });

  it("ends when the SuperLink does not know it any more", async () => {
    const link = await superLink();
    const forget: Interceptor = (next) => async (request) => {
      const response = await next(request);
      if (request.method.name === "SendNodeHeartbeat" && !response.stream) {
        Object.assign(response.message, { success: false });
      }
      return response;
    };
    const node = await nodeOf(link, {}, forget);
    await expect(node.ended).rejects.toThrow("The SuperLink does not know this node any more.");
  });

  it("does not start when the SuperLink refuses it", async () => {
    const link = await superLink();
    const refuse: Interceptor = () => () => {
      throw new ConnectError("No nodes here.", Code.FailedPrecondition);
    };
    await expect(nodeOf(link, {}, refuse)).rejects.toMatchObject({
      code: Code.FailedPrecondition,
      rawMessage: "No nodes here.",
    });
  });

  it("joins where the answers to its first calls are lost with their connections", async () => {
    const handled: string[] = [];
    let front: Front | undefined;
    /** Ends the connection between the change and its answer, once for each call. */
    const lose = <T>(call: string, answer: T): T => {
      if (!handled.includes(call)) {
        front?.cut();
      }
      handled.push(call);
      return answer;
    };
    const link = await superLink(({ nodes, ...state }) => ({
      ...state,
      nodes: {
        ...nodes,
        register: async (key) => lose("register", await nodes.register(key)),
        activate: async (key, seconds) => lose("activate", await nodes.activate(key, seconds)),
      },
    }));
    front = await startFront([link.server.url]);
    atTestEnd(front.close);
    const node = await nodeOf(link, { fleet: front.url, retry: { random: () => 0.005 } });
    expect(handled).toEqual(["register", "register", "activate", "activate"]);
    expect(await link.state.nodes.listOnline()).toEqual([node.nodeId]);
    await node.close();
    expect(await link.state.nodes.listOnline()).toEqual([]);
    expect(node.log).toEqual([]);
  });

  it("waits for a SuperLink that is unavailable, until it is stopped", async () => {
    const link = await superLink();
    const stopping = new AbortController();
    let tries = 0;
    const isDown: Interceptor = () => () => {
      tries += 1;
      if (tries === 3) {
        stopping.abort(new Error("stopped by the test"));
      }
      throw new ConnectError("not up yet", Code.Unavailable);
    };
    const retry = { sleep: async () => {} };
    const start = nodeOf(link, { retry, signal: stopping.signal }, isDown);
    await expect(start).rejects.toThrow("stopped by the test");
    expect(tries).toBe(3);
  });

  it("refuses options that are not usable", async () => {
    const link = await superLink();
    await expect(nodeOf(link, { maxConcurrentMessages: 0 })).rejects.toThrow(
      new TypeError('"maxConcurrentMessages" must be a positive integer'),
    );
    const { privateKey } = generateKeyPairSync("ed25519");
    await expect(nodeOf(link, { privateKey })).rejects.toThrow(
      new TypeError('"privateKey" must be a private EC key on a NIST curve'),
    );
    await expect(nodeOf(link, { fleet: "http://superlink.example:9092" })).rejects.toThrow(
      /^"transport" sends in plaintext to http:..superlink.example:9092/,
    );
    for (const option of ["pollIntervalMs", "replyPollIntervalMs"]) {
      await expect(nodeOf(link, { [option]: Number.POSITIVE_INFINITY })).rejects.toThrow(
        new TypeError(`"${option}" must be a number of milliseconds from 0 to 2147483647`),
      );
    }
    for (const maxBundleBytes of [-1, 0.5, Number.NaN]) {
      await expect(nodeOf(link, { maxBundleBytes })).rejects.toThrow(
        new TypeError('"maxBundleBytes" must be a whole number of bytes, 0 or more'),
      );
    }
  });
});
