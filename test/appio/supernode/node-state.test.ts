import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { ContextSchema } from "../../../gen/flwr/proto/message_pb.ts";
import { Message } from "../../../src/appio/objects/message.ts";
import { objectIdOf } from "../../../src/appio/objects/object-id.ts";
import { deflated, instruction, replyTo, testNode, thisNode } from "./test-node.ts";

describe("pending runs", () => {
  it("are those with a waiting instruction and no live token (case 55)", async () => {
    await using node = await testNode();
    await node.deliver(1n);
    await node.deliver(2n);
    await node.claim(2n);
    const answered = await node.deliver(3n);
    const third = await node.claim(3n);
    await node.apps.takeMessage(third.caller);
    await node.answer(third.caller, replyTo(answered));
    await node.apps.finish(third.caller, node.emptyContext);
    await node.deliver(4n);
    await node.apps.takeMessage((await node.claim(4n)).caller);
    await node.deliver(5n);
    await node.apps.finish((await node.claim(5n)).caller, node.emptyContext);

    expect(await node.apps.pendingRuns()).toEqual([1n, 5n]);
  });

  it("are exactly those that a claim grants a token for", async () => {
    await using node = await testNode();
    await node.deliver(1n);
    await node.deliver(2n);
    await node.claim(2n);
    const pending = await node.apps.pendingRuns();
    for (const runId of [0n, 1n, 2n, 3n, 2n ** 64n - 1n]) {
      expect((await node.apps.claim(runId)) !== undefined).toBe(pending.includes(runId));
    }
  });

  it("come back when the token expires, without anything else happening", async () => {
    await using node = await testNode();
    await node.deliver(1n);
    await node.claim(1n);
    node.pass(30_000);
    expect(await node.apps.pendingRuns()).toEqual([]);
    node.pass(1);
    expect(await node.apps.pendingRuns()).toEqual([1n]);
  });

  it("do not count an instruction whose objects are still arriving", async () => {
    await using node = await testNode();
    const asked = instruction(1n);
    await node.inbox.receive(asked);
    expect(await node.apps.pendingRuns()).toEqual([]);
    expect(await node.apps.claim(1n)).toBeUndefined();
  });

  it("grant one token when many claim at once", async () => {
    await using node = await testNode();
    await node.deliver(1n);
    const claims = await Promise.all(Array.from({ length: 20 }, () => node.apps.claim(1n)));
    expect(claims.filter((token) => token !== undefined)).toHaveLength(1);
  });
});

describe("taking a message", () => {
  it("takes one and leaves the others waiting", async () => {
    await using node = await testNode();
    const first = await node.deliver(1n);
    const second = await node.deliver(1n);
    const app = await node.claim(1n);
    expect((await node.apps.takeMessage(app.caller))?.message.metadata?.messageId).toBe(first.id);
    await node.answer(app.caller, replyTo(first));
    await node.apps.finish(app.caller, node.emptyContext);
    expect(await node.apps.pendingRuns()).toEqual([1n]);
    const next = await node.claim(1n);
    expect((await node.apps.takeMessage(next.caller))?.message.metadata?.messageId).toBe(second.id);
  });

  it("returns the same one when the answer was lost", async () => {
    await using node = await testNode();
    const first = await node.deliver(1n);
    await node.deliver(1n);
    const { caller } = await node.claim(1n);
    for (let call = 0; call < 2; call += 1) {
      expect((await node.apps.takeMessage(caller))?.message.metadata?.messageId).toBe(first.id);
    }
  });

  it("refuses a token that expired after the call was let in", async () => {
    await using node = await testNode();
    await node.deliver(1n);
    const { caller } = await node.claim(1n);
    node.pass(30_001);
    await expect(node.apps.takeMessage(caller)).rejects.toMatchObject({ kind: "token ended" });
    expect(await node.apps.pendingRuns()).toEqual([1n]);
  });

  it("refuses the token of a ClientApp that has finished", async () => {
    await using node = await testNode();
    await node.deliver(1n);
    const { caller } = await node.claim(1n);
    await node.apps.finish(caller, node.emptyContext);
    await expect(node.apps.takeMessage(caller)).rejects.toMatchObject({ kind: "token ended" });
  });
});

describe("a ClientApp that goes away", () => {
  it("after taking a message makes an error reply that can be forwarded (case 56)", async () => {
    await using node = await testNode();
    const asked = await node.deliver(1n);
    await node.apps.takeMessage((await node.claim(1n)).caller);
    node.pass(30_001);

    const [reply, ...others] = await node.inbox.readyReplies();
    expect(others).toEqual([]);
    expect(reply?.message.error).toMatchObject({
      code: 8n,
      reason: "ClientApp stopped responding.",
    });
    expect(reply?.message.content).toBeUndefined();
    expect(reply?.message.metadata).toMatchObject({
      runId: 1n,
      replyToMessageId: asked.id,
      srcNodeId: thisNode,
      dstNodeId: 1n,
      messageType: "train",
      messageId: reply?.tree.objectId,
    });
    const remaining = reply?.message.metadata?.ttl ?? 0;
    expect(remaining).toBeCloseTo(asked.asMessage.metadata.ttlSeconds - 30, 0);
    expect(reply?.processingSeconds).toBeCloseTo(30, 1);
    const content = (await node.inbox.replyObject(1n, reply?.tree.objectId ?? ""))?.content;
    expect(objectIdOf(content ?? new Uint8Array())).toBe(reply?.tree.objectId);
  });

  it("without taking one has it launched again, three times at most", async () => {
    await using node = await testNode();
    const asked = await node.deliver(1n);
    for (let launch = 0; launch < 4; launch += 1) {
      expect(await node.inbox.readyReplies()).toEqual([]);
      expect(await node.apps.pendingRuns()).toEqual([1n]);
      await node.claim(1n);
      node.pass(30_001);
    }
    expect(await node.apps.pendingRuns()).toEqual([]);
    expect(await node.apps.claim(1n)).toBeUndefined();
    const [reply] = await node.inbox.readyReplies();
    expect(reply).toMatchObject({ instructionId: asked.id, processingSeconds: 0 });
    expect(reply?.message.error?.code).toBe(8n);
  });

  it("in the middle of its reply is answered for, and its objects are freed", async () => {
    await using node = await testNode();
    const asked = await node.deliver(1n);
    const { caller } = await node.claim(1n);
    await node.apps.takeMessage(caller);
    const reply = replyTo(asked);
    const [first = ""] = await node.apps.storeReply(caller, reply);
    await node.apps.putObject(caller, first, reply.objects.get(first) ?? new Uint8Array());
    expect(await node.inbox.readyReplies()).toEqual([]);
    node.pass(30_001);
    const [ready] = await node.inbox.readyReplies();
    expect(ready?.message.error?.code).toBe(8n);
    for (const id of [...reply.objects.keys(), ...asked.objects.keys()]) {
      expect(await node.inbox.replyObject(1n, id)).toBeUndefined();
    }
  });

  it("after its reply is complete changes nothing", async () => {
    await using node = await testNode();
    const asked = await node.deliver(1n);
    const { caller } = await node.claim(1n);
    await node.apps.takeMessage(caller);
    const reply = replyTo(asked);
    await node.answer(caller, reply);
    node.pass(30_001);
    const replies = await node.inbox.readyReplies();
    expect(replies.map(({ message }) => message.metadata?.messageId)).toEqual([reply.id]);
  });

  it("with its token given back but no reply is answered for", async () => {
    await using node = await testNode();
    await node.deliver(1n);
    const { caller } = await node.claim(1n);
    await node.apps.takeMessage(caller);
    await node.apps.finish(caller, node.emptyContext);
    const [reply] = await node.inbox.readyReplies();
    expect(reply?.message.error?.code).toBe(8n);
  });

  it("is not taken for dead while its heartbeat comes", async () => {
    await using node = await testNode();
    await node.deliver(1n);
    const { caller } = await node.claim(1n);
    await node.apps.takeMessage(caller);
    for (let beat = 0; beat < 5; beat += 1) {
      node.pass(20_000);
      expect(await node.authority.extend(caller.tokenDigest)).toBe(true);
    }
    expect(await node.inbox.readyReplies()).toEqual([]);
  });
});

describe("a reply", () => {
  it("is ready when the last of its objects is there, with the time it took", async () => {
    await using node = await testNode();
    const asked = await node.deliver(1n);
    const { caller } = await node.claim(1n);
    await node.apps.takeMessage(caller);
    node.pass(1_500);
    const reply = replyTo(asked);
    const toPush = await node.apps.storeReply(caller, reply);
    expect(toPush).toEqual([...reply.objects.keys()]);
    for (const id of toPush) {
      expect(await node.inbox.readyReplies()).toEqual([]);
      await node.apps.putObject(caller, id, reply.objects.get(id) ?? new Uint8Array());
    }
    const [ready] = await node.inbox.readyReplies();
    expect(ready).toMatchObject({
      runId: 1n,
      instructionId: asked.id,
      processingSeconds: 1.5,
      message: reply.message,
      tree: reply.tree,
    });
  });

  it("to a message that was not taken is refused (case 57)", async () => {
    await using node = await testNode();
    const waiting = await node.deliver(1n);
    const foreign = await node.deliver(2n);
    const { caller } = await node.claim(1n);
    await node.apps.takeMessage((await node.claim(2n)).caller);
    for (const asked of [waiting, foreign]) {
      await expect(node.apps.storeReply(caller, replyTo(asked))).rejects.toMatchObject({
        kind: "not taken",
      });
    }
    expect(await node.apps.pendingRuns()).toEqual([]);
    await node.apps.finish(caller, node.emptyContext);
    expect(await node.apps.pendingRuns()).toEqual([1n]);
  });

  it("pushed twice names what is still missing, also after it was forwarded", async () => {
    await using node = await testNode();
    const asked = await node.deliver(1n);
    const { caller } = await node.claim(1n);
    await node.apps.takeMessage(caller);
    const reply = replyTo(asked);
    const toPush = await node.apps.storeReply(caller, reply);
    const [first = ""] = toPush;
    await node.apps.putObject(caller, first, reply.objects.get(first) ?? new Uint8Array());
    expect(await node.apps.storeReply(caller, reply)).toEqual(toPush.slice(1));
    await node.answer(caller, reply);
    await node.inbox.forwarded(asked.id);
    expect(await node.apps.storeReply(caller, reply)).toEqual([]);
    expect(
      await node.apps.putObject(caller, first, reply.objects.get(first) ?? new Uint8Array()),
    ).toBe(true);
    expect(await node.inbox.readyReplies()).toEqual([]);
  });

  it("is refused when the message has another one", async () => {
    await using node = await testNode();
    const asked = await node.deliver(1n);
    const { caller } = await node.claim(1n);
    await node.apps.takeMessage(caller);
    await node.apps.storeReply(caller, replyTo(asked));
    await expect(node.apps.storeReply(caller, replyTo(asked))).rejects.toMatchObject({
      kind: "already answered",
    });
  });

  it("is refused when it does not go from this node to the sender", async () => {
    await using node = await testNode();
    const asked = await node.deliver(1n);
    const { caller } = await node.claim(1n);
    await node.apps.takeMessage(caller);
    const genuine = asked.asMessage.replyWithError({ code: 2 });
    for (const changes of [{ srcNodeId: 8n }, { dstNodeId: thisNode }]) {
      const reply = deflated(new Message({ ...genuine.metadata, ...changes }, genuine.payload));
      await expect(node.apps.storeReply(caller, reply)).rejects.toMatchObject({
        kind: "misaddressed",
      });
    }
  });

  it("is gone with its objects when it was forwarded and its ClientApp has finished", async () => {
    await using node = await testNode();
    const asked = await node.deliver(1n);
    const { caller } = await node.claim(1n);
    await node.apps.takeMessage(caller);
    const reply = replyTo(asked);
    await node.answer(caller, reply);
    await node.inbox.forwarded(asked.id);
    await node.apps.finish(caller, node.emptyContext);
    for (const id of [...reply.objects.keys(), ...asked.objects.keys()]) {
      expect(await node.inbox.replyObject(1n, id)).toBeUndefined();
    }
    expect(await node.inbox.receive(asked)).toEqual([...asked.objects.keys()]);
  });
});

describe("the context", () => {
  it("of one message is what the run's next one starts from", async () => {
    await using node = await testNode();
    await node.deliver(1n);
    const { caller } = await node.claim(1n);
    const context = create(ContextSchema, { runId: 1n, nodeId: 99n, state: {} });
    await node.apps.finish(caller, context);
    await node.deliver(1n);
    expect((await node.apps.findRun(1n))?.context.nodeId).toBe(99n);
  });

  it("is not changed by a ClientApp whose token has ended", async () => {
    await using node = await testNode();
    await node.deliver(1n);
    const { caller } = await node.claim(1n);
    node.pass(30_001);
    const context = create(ContextSchema, { runId: 1n, nodeId: 99n, state: {} });
    await expect(node.apps.finish(caller, context)).rejects.toMatchObject({ kind: "token ended" });
    expect((await node.apps.findRun(1n))?.context.nodeId).toBe(thisNode);
  });
});

describe("objects", () => {
  it("of another run cannot be read, obtained by announcing them, or freed", async () => {
    await using node = await testNode();
    const mine = await node.deliver(1n);
    const theirs = await node.deliver(2n);
    const { caller } = await node.claim(1n);
    await node.apps.takeMessage(caller);
    expect(await node.apps.getObject(caller, theirs.id)).toBeUndefined();

    const reply = replyTo(mine);
    reply.tree.children.push(theirs.tree);
    expect(await node.apps.storeReply(caller, reply)).toContain(theirs.id);
    expect(await node.apps.getObject(caller, theirs.id)).toEqual({ content: undefined });

    await node.apps.confirmMessage(caller, theirs.id);
    const { caller: other } = await node.claim(2n);
    expect((await node.apps.getObject(other, theirs.id))?.content).toBeDefined();
  });

  it("of a message are freed by the ClientApp that took it, and by no other", async () => {
    await using node = await testNode();
    const first = await node.deliver(1n);
    const second = await node.deliver(1n);
    const { caller } = await node.claim(1n);
    await node.apps.takeMessage(caller);
    await node.apps.confirmMessage(caller, second.id);
    await node.apps.confirmMessage(caller, first.id);
    expect(await node.apps.getObject(caller, first.id)).toBeUndefined();
    expect((await node.apps.getObject(caller, second.id))?.content).toBeDefined();
  });

  it("are not stored under a wrong id, nor unannounced", async () => {
    await using node = await testNode();
    const asked = await node.deliver(1n);
    const { caller } = await node.claim(1n);
    await node.apps.takeMessage(caller);
    const reply = replyTo(asked);
    const [id = "", content = new Uint8Array()] = [...reply.objects][0] ?? [];
    expect(await node.apps.putObject(caller, id, content)).toBe(false);
    await node.apps.storeReply(caller, reply);
    expect(await node.apps.putObject(caller, id, new Uint8Array([1]))).toBe(false);
    expect(await node.apps.putObject(caller, id, content)).toBe(true);
  });
});

describe("an instruction", () => {
  it("is refused without id, without run, and when it is known", async () => {
    await using node = await testNode();
    const asked = await node.deliver(1n);
    expect(await node.inbox.receive(asked)).toBeUndefined();
    expect(await node.inbox.receive(instruction(0n))).toBeUndefined();
    const nameless = new Message(
      { ...asked.asMessage.metadata, messageId: "" },
      asked.asMessage.payload,
    );
    expect(
      await node.inbox.receive({ message: nameless.toProto(), tree: asked.tree }),
    ).toBeUndefined();
  });

  it("that cannot be taken in is answered with an error", async () => {
    await using node = await testNode();
    const asked = instruction(1n);
    await node.inbox.receive(asked);
    await node.inbox.fail(asked.id, "invalidFab", "The bundle is not the run's.");
    const [reply] = await node.inbox.readyReplies();
    expect(reply?.message.error).toMatchObject({
      code: 7n,
      reason: "The bundle is not the run's.",
    });
    await node.inbox.forwarded(asked.id);
    expect(await node.inbox.readyReplies()).toEqual([]);
  });
});
