import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { ScalarSchema } from "../../../gen/flwr/proto/transport_pb.ts";
import { contentsOf, deflate, treeOf } from "../../../src/appio/objects/deflate.ts";
import { Message } from "../../../src/appio/objects/message.ts";
import { metadataFromProto } from "../../../src/appio/objects/metadata.ts";
import { RecordDict } from "../../../src/appio/objects/record-dict.ts";
import { configFromScalars } from "../../../src/appio/runtime/config-values.ts";
import type { SuperNodeOptions } from "../../../src/appio/supernode/supernode.ts";
import { digestToken, type Token } from "../../../src/policy/token.ts";
import { appOf, eventually, nodeOf, runOf, superLink } from "./linked-node.ts";

/** A SuperLink and a node of it; what the node asks about runs, and what it hears, is noted. */
async function asking(options: Partial<SuperNodeOptions> = {}) {
  const link = await superLink();
  const heard: { runId: bigint; answer: string }[] = [];
  const seen = { isAway: false, polls: 0, bundles: 0 };
  const watch: Interceptor = (next) => async (request) => {
    const { name } = request.method;
    seen.polls += name === "PullMessages" ? 1 : 0;
    seen.bundles += name === "GetFab" ? 1 : 0;
    const answering = seen.isAway
      ? Promise.reject(new ConnectError("nobody is there", Code.Unavailable))
      : next(request);
    if (name === "GetRun" && !request.stream && "runId" in request.message) {
      const runId = BigInt(`${request.message.runId}`);
      const note = (answer: string) => heard.push({ runId, answer });
      answering.then(
        () => note("the run"),
        (reason) => note(ConnectError.from(reason).rawMessage),
      );
    }
    return answering;
  };
  const node = await nodeOf(link, { retry: { random: () => 0.005 }, ...options }, watch);

  /** Lets the node's loops go round. */
  async function goRound(times = 2): Promise<void> {
    const until = seen.polls + times;
    await eventually(() => seen.polls).toBeGreaterThanOrEqual(until);
  }

  /** Has the node handle a message, and returns how many it has handled for the run, as the run's context says. */
  async function handle(runId: bigint): Promise<number> {
    const sent = await link.send(runId, node.nodeId);
    const { token, app } = await appOf(node, runId);
    await app.pullMessage({ token });
    const { context } = await app.pullAppInputs({ token });
    const handled = Number(configFromScalars(context?.runConfig ?? {}).handled ?? 0n) + 1;
    const scalar = { case: "sint64", value: BigInt(handled) } as const;
    Object.assign(context?.runConfig ?? {}, { handled: create(ScalarSchema, { scalar }) });
    await app.pushAppOutputs(context ? { token, context } : { token });
    const find = () => link.state.replies.find(runId, [sent.id]);
    await eventually(async () => (await find()).length).toBe(1);
    // The node polls again when it has sent all of the reply. The ServerApp confirms it: the message is done with.
    await goRound();
    for (const { message } of await find()) {
      await link.state.replies.confirm(runId, message.metadata?.messageId ?? "");
    }
    return handled;
  }

  /** Time passes, in steps: signatures of calls under way stay fresh, and the hearts of live ServerApps beat. */
  async function pass(seconds: number, ...live: { readonly token: Token }[]): Promise<void> {
    for (let left = seconds; left > 0; left -= 50) {
      for (const { token } of live) {
        expect(await link.authority.extend(digestToken(token))).toBe(true);
      }
      link.clock.advance(Math.min(left, 50));
      await goRound();
    }
  }

  return {
    ...{ link, node, heard, seen, goRound, handle, pass },
    knows: async (runId: bigint) => (await node.bootstrap.getRun({ runId })).run !== undefined,
  };
}

describe("a SuperNode, which nobody tells when a run has ended,", () => {
  it("asks, and forgets those that have ended and no other", async () => {
    const { link, node, heard, knows, handle, goRound, pass } = await asking();
    const [ended, live] = [await link.runningRun(), await link.runningRun()];
    expect([await handle(ended.runId), await handle(live.runId)]).toEqual([1, 1]);
    await link.state.runs.stop(ended.runId);
    heard.length = 0;
    await goRound(5);
    expect(heard, "not at once").toEqual([]);

    await pass(61, live);
    await eventually(() => heard.length).toBe(2);
    await goRound(5);
    // Of a live run, too, this SuperLink says that it is unknown: the node holds no message of it.
    const unknown = { runId: live.runId, answer: `Run ID not found: ${live.runId}` };
    const finished = { runId: ended.runId, answer: "Run is finished. Stopped by user." };
    expect(heard).toHaveLength(2);
    expect(heard).toEqual(expect.arrayContaining([finished, unknown]));
    expect(await knows(ended.runId)).toBe(false);
    expect(node.log).toEqual([`Forgot run ${ended.runId}, which has finished.`]);

    heard.length = 0;
    await pass(300, live);
    expect(heard, "after twice as long, and four times").toEqual([unknown, unknown]);
    expect(await knows(live.runId)).toBe(true);
    expect(await handle(live.runId), "from the context that was left").toBe(2);
  });

  it("keeps a run that the SuperLink still shows it, as its reply has not been confirmed", async () => {
    const { link, node, heard, knows, goRound, pass } = await asking();
    const run = await link.runningRun();
    await link.send(run.runId, node.nodeId);
    const { token, app } = await appOf(node, run.runId);
    await app.pullMessage({ token });
    await app.pushAppOutputs({ token, context: {} });
    await goRound();
    heard.length = 0;
    await pass(61, run);
    await eventually(() => heard).toEqual([{ runId: run.runId, answer: "the run" }]);
    expect(await knows(run.runId)).toBe(true);
  });

  it("forgets nothing while the SuperLink is away, and then what has ended meanwhile", async () => {
    const { link, node, heard, seen, knows, handle, pass } = await asking();
    const { runId } = await link.runningRun();
    await handle(runId);
    seen.isAway = true;
    await link.state.runs.stop(runId);
    heard.length = 0;
    await pass(200);
    const nothing = { runId, answer: "nobody is there" };
    expect(heard).toEqual([nothing, nothing]);
    expect(await knows(runId)).toBe(true);
    seen.isAway = false;
    await pass(200);
    await eventually(() => knows(runId)).toBe(false);
    expect(node.log).toEqual([`Forgot run ${runId}, which has finished.`]);
  });

  it("takes the token and the objects of a ClientApp that has answered and stays on", async () => {
    const { link, node, knows, goRound, pass } = await asking();
    const { runId } = await link.runningRun();
    const sent = await link.send(runId, node.nodeId);
    const { token, app } = await appOf(node, runId);
    const { messagesList } = await app.pullMessage({ token });
    const asked = new Message(metadataFromProto(messagesList[0]?.metadata), {
      content: new RecordDict(),
    });
    const reply = asked.reply(new RecordDict(), { now: link.clock.now });
    const object = deflate(reply);
    await app.pushMessage({
      token,
      messagesList: [reply.withMetadata({ messageId: object.id }).toProto()],
      messageObjectTrees: [treeOf(object)],
    });
    for (const [objectId, objectContent] of contentsOf(object)) {
      await app.pushObject({ objectId, objectContent });
    }
    const find = () => link.state.replies.find(runId, [sent.id]);
    await eventually(async () => (await find()).length).toBe(1);
    await goRound();
    await link.state.runs.stop(runId);
    for (let beats = 0; beats < 3; beats += 1) {
      expect((await app.sendAppHeartbeat({ token })).success).toBe(true);
      await pass(21);
    }
    await eventually(() => knows(runId)).toBe(false);
    for (const call of [
      () => app.pullObject({ objectId: object.id }),
      () => app.sendAppHeartbeat({ token }),
      () => app.pushAppOutputs({ token, context: {} }),
    ]) {
      await expect(call()).rejects.toMatchObject({
        code: Code.Unauthenticated,
        rawMessage: "Authentication failed.",
      });
    }
  });

  it("fetches a bundle again that it had no room for, and keeps the context", async () => {
    const { link, seen, handle } = await asking({ maxBundleBytes: 0 });
    const one = await link.runningRun();
    const another = await runOf(link, {});
    expect(await handle(one.runId)).toBe(1);
    expect(await handle(one.runId), "alone").toBe(2);
    expect(seen.bundles).toBe(1);
    expect(await handle(another)).toBe(1);
    expect(await handle(one.runId)).toBe(3);
    expect(seen.bundles).toBe(3);
  });
});
