import { createHash } from "node:crypto";
import { inspect } from "node:util";
import { Code, ConnectError } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { describe, expect, test } from "vitest";
import { ArrayRecord } from "../../../src/appio/objects/array-record.ts";
import { ConfigRecord } from "../../../src/appio/objects/config-record.ts";
import { contentOf, deflate, treeOf } from "../../../src/appio/objects/deflate.ts";
import { Message } from "../../../src/appio/objects/message.ts";
import { NdArray } from "../../../src/appio/objects/nd-array.ts";
import { objectIdsOf } from "../../../src/appio/objects/object-tree.ts";
import { RecordDict } from "../../../src/appio/objects/record-dict.ts";
import { Grid, type GridOptions } from "../../../src/appio/runtime/grid.ts";
import { RunNotRunningError } from "../../../src/appio/runtime/retry.ts";
import { ObjectNotFoundError } from "../../../src/appio/runtime/transfer.ts";
import { transportTo } from "../../../src/client/located-transport.ts";
import { run, smallSuperLink, token } from "./small-superlink.ts";
import { virtualTime } from "./virtual-time.ts";

/** A grid that talks to a small SuperLink; its waits take no time but count. */
function connected(options: Partial<GridOptions> = {}) {
  const superLink = smallSuperLink();
  const waits: number[] = [];
  const warnings: string[] = [];
  const during: { wait: () => unknown } = { wait: () => {} };
  const { transport } = superLink;
  const grid = new Grid({
    transport,
    token,
    run,
    async sleep(ms) {
      waits.push(ms);
      during.wait();
    },
    now: () => waits.reduce((sum, ms) => sum + ms, 0),
    random: () => 0.5,
    onWarning: (text) => warnings.push(text),
    ...options,
  });
  return { grid, superLink, waits, warnings, during };
}

const content = () =>
  new RecordDict({
    model: new ArrayRecord({ w: NdArray.from(new Float32Array([1, 2])) }),
    config: new ConfigRecord({ lr: 0.1 }),
  });
const to = (dstNodeId: bigint, records = new RecordDict()) =>
  new Message({ content: records, messageType: "train", dstNodeId });

describe("construction", () => {
  const { transport } = smallSuperLink();

  test("case 59: is refused without a token, or with an empty one", () => {
    // @ts-expect-error the token is required
    expect(() => new Grid({ transport, run })).toThrow(TypeError);
    // @ts-expect-error a string is no token
    expect(() => new Grid({ transport, run, token: "" })).toThrow(TypeError);
  });

  test("is refused with the id of a run instead of the run", () => {
    // @ts-expect-error an id is not enough
    expect(() => new Grid({ transport, token, run: 7n })).toThrow(
      '"run" must be the Run that PullAppInputs gave',
    );
  });

  test("is refused when the token would travel in plaintext", () => {
    const plain = transportTo(createGrpcTransport, { baseUrl: "http://superlink.example:9091" });
    expect(() => new Grid({ transport: plain, token, run })).toThrow("plaintext");
  });

  test("the token does not show", () => {
    const { grid } = connected();
    expect(inspect(grid, { depth: 9, showHidden: true })).not.toContain("aaaa");
    expect(
      JSON.stringify(grid, (_, value) => (typeof value === "bigint" ? "" : value)),
    ).not.toContain("aaaa");
  });
});

describe("getNodeIds", () => {
  test("returns ids of 64 bits", async () => {
    const { grid } = connected();
    expect(await grid.getNodeIds()).toEqual([2n ** 64n - 1n, 7n]);
  });

  test("case 64: tries again while the SuperLink is unavailable", async () => {
    const { grid, superLink, waits } = connected();
    superLink.failures.set("getNodes", [new ConnectError("down", Code.Unavailable)]);
    expect(await grid.getNodeIds()).toHaveLength(2);
    expect(superLink.calls).toEqual(["getNodes", "getNodes"]);
    expect(waits).toEqual([500]);
  });

  test("says that the run is not running when it is denied", async () => {
    const { grid, superLink } = connected();
    const denied = new ConnectError("Run is finished. Stopped by user.", Code.PermissionDenied);
    superLink.failures.set("getNodes", [denied]);
    const call = grid.getNodeIds();
    await expect(call).rejects.toBeInstanceOf(RunNotRunningError);
    await expect(call).rejects.toThrow("Run is finished. Stopped by user.");
  });
});

describe("pushMessages", () => {
  test("case 62: sends all messages in one call, their run filled in, and returns ids in order", async () => {
    const { grid, superLink } = connected();
    const ids = await grid.pushMessages([to(7n), to(8n)]);
    expect(superLink.calls.filter((rpc) => rpc === "pushMessages")).toHaveLength(1);
    const [request] = superLink.pushes;
    expect(request?.messagesList.map(({ metadata }) => metadata?.messageId)).toEqual(ids);
    expect(request?.messageObjectTrees.map(({ objectId }) => objectId)).toEqual(ids);
    for (const message of request?.messagesList ?? []) {
      expect(message.metadata).toMatchObject({
        runId: run.runId,
        srcNodeId: 1n,
        replyToMessageId: "",
      });
      expect(message.content?.items).toEqual([]);
    }
  });

  test("pushes what the SuperLink asks for, once, and the node gets what was sent", async () => {
    const { grid, superLink } = connected();
    const [id = ""] = await grid.pushMessages([to(7n, content()), to(8n, content())]);
    // model, its array and chunk, config and the dict are shared; two messages.
    expect(superLink.calls.filter((rpc) => rpc === "pushObject")).toHaveLength(7);
    const received = superLink.received(id);
    expect(received.metadata).toMatchObject({ messageId: id, dstNodeId: 7n, runId: run.runId });
    expect(received.content.getArrayRecord("model").get("w").toTypedArray()).toEqual(
      new Float32Array([1, 2]),
    );
    superLink.calls.length = 0;
    await grid.pushMessages([to(9n, content())]);
    expect(superLink.calls).toEqual(["pushMessages", "pushObject"]);
  });

  test("pushes children before their parents, whatever order it is asked in", async () => {
    const { grid, superLink } = connected();
    await grid.pushMessages([to(7n, content())]);
    const [tree] = superLink.pushes[0]?.messageObjectTrees ?? [];
    expect(superLink.pushed).toEqual(tree && objectIdsOf(tree));
  });

  test("hashes what messages share once", async () => {
    let hashes = 0;
    const createSha256 = () => {
      hashes += 1;
      return createHash("sha256");
    };
    const { grid } = connected({ createSha256 });
    const shared = content();
    await grid.pushMessages([to(7n, shared), to(8n, shared), to(9n, shared)]);
    expect(hashes).toBe(5 + 3);
  });

  test("cuts arrays as told", async () => {
    const { grid, superLink } = connected({ maxChunkBytes: 100 });
    await grid.pushMessages([to(7n, content())]);
    expect(superLink.calls.filter((rpc) => rpc === "pushObject")).toHaveLength(7);
  });

  test("returns an empty id for a refused message", async () => {
    const { grid } = connected();
    const ids = await grid.pushMessages([to(404n), to(7n)]);
    expect(ids.map((id) => id.length)).toEqual([0, 64]);
  });

  test("makes no call for no messages", async () => {
    const { grid, superLink } = connected();
    expect(await grid.pushMessages([])).toEqual([]);
    expect(superLink.calls).toEqual([]);
  });

  test("refuses replies and what does not live, before it sends anything", async () => {
    const { grid, superLink } = connected();
    const reply = to(7n).withMetadata({ messageId: "x" }).reply(new RecordDict());
    await expect(grid.pushMessages([to(7n), reply])).rejects.toThrow(
      "a grid sends instructions, but one of the messages is a reply",
    );
    for (const ttlSeconds of [0, -1, Number.NaN]) {
      await expect(grid.pushMessages([to(7n).withMetadata({ ttlSeconds })])).rejects.toThrow(
        `a message must have time to live, not ${ttlSeconds} seconds`,
      );
    }
    expect(superLink.calls).toEqual([]);
  });

  test("fails when the SuperLink does not take an object it asked for", async () => {
    const { grid, superLink } = connected();
    superLink.refusesObjects.value = true;
    await expect(grid.pushMessages([to(7n)])).rejects.toBeInstanceOf(ObjectNotFoundError);
  });

  test("returns nothing, with a warning, when resources are exhausted", async () => {
    const { grid, superLink, warnings } = connected();
    superLink.failures.set("pushMessages", [new ConnectError("full", Code.ResourceExhausted)]);
    expect(await grid.pushMessages([to(7n)])).toEqual([]);
    expect(warnings).toEqual(["No messages were pushed: the server's resources are exhausted."]);
  });
});

describe("pullMessages", () => {
  test("returns replies with their content, and confirms them", async () => {
    const { grid, superLink } = connected();
    const [id = ""] = await grid.pushMessages([to(7n)]);
    const replyId = superLink.answer(superLink.received(id).reply(content()));
    const [reply] = await grid.pullMessages([id]);
    expect(reply?.metadata).toMatchObject({
      messageId: replyId,
      replyToMessageId: id,
      srcNodeId: 7n,
    });
    expect(reply?.content.getConfigRecord("config").getNumber("lr")).toBe(0.1);
    expect(deflate(reply ?? to(0n)).id).toBe(replyId);
    expect(superLink.confirmed).toEqual([replyId]);
  });

  test("returns the SuperLink's error replies like any other", async () => {
    const { grid, superLink } = connected();
    const [id = ""] = await grid.pushMessages([to(7n)]);
    superLink.answer(superLink.received(id).replyWithError({ code: 5, reason: "gone" }));
    const [reply] = await grid.pullMessages([id]);
    expect(reply?.error).toEqual({ code: 5, reason: "gone" });
  });

  test("returns nothing for an instruction without a reply, and asks for each id once", async () => {
    const { grid, superLink } = connected();
    expect(await grid.pullMessages(["a", "a"])).toEqual([]);
    expect(superLink.calls).toEqual(["pullMessages"]);
  });

  test("makes no call for no ids", async () => {
    const { grid, superLink } = connected();
    expect(await grid.pullMessages([])).toEqual([]);
    expect(superLink.calls).toEqual([]);
  });

  test("case 63: objects that never come make one local error message, after 500 tries", async () => {
    const { grid, superLink } = connected({ now: () => 1e12 });
    const [id = ""] = await grid.pushMessages([to(7n)]);
    superLink.answer(
      superLink.received(id).reply(new RecordDict({ c: new ConfigRecord({ a: 1 }) })),
      false,
    );
    const replies = await grid.pullMessages([id]);
    expect(replies).toHaveLength(1);
    expect(replies[0]?.metadata).toMatchObject({
      runId: run.runId,
      messageId: "",
      srcNodeId: 1n,
      dstNodeId: 1n,
      replyToMessageId: id,
      groupId: "",
      ttlSeconds: 0,
      messageType: "system",
    });
    expect(replies[0]?.error.code).toBe(3);
    expect(superLink.confirmed).toEqual([]);
    const tries = superLink.pulled.filter((objectId) => objectId === superLink.pulled[0]);
    expect(tries).toHaveLength(500);
    expect(new Set(superLink.pulled).size).toBe(2);
    expect(superLink.pulled.length).toBeLessThanOrEqual(1000);
  });

  describe("a reply that cannot be read becomes an error reply, and the others arrive:", () => {
    /** Spoils the first of two replies and pulls both. Objects that are missing are given up at once. */
    async function pullBoth(
      spoil: (superLink: ReturnType<typeof smallSuperLink>, replyId: string) => unknown,
    ) {
      const connection = connected({ pulling: { maxTriesPerObject: 1 } });
      const { grid, superLink } = connection;
      const [first = "", second = ""] = await grid.pushMessages([to(7n), to(8n)]);
      const spoiltId = superLink.answer(superLink.received(first).reply(content()));
      const goodId = superLink.answer(superLink.received(second).reply(content()));
      spoil(superLink, spoiltId);
      const [spoilt, good, ...more] = await grid.pullMessages([first, second]);
      expect(more).toEqual([]);
      expect(good?.metadata).toMatchObject({ messageId: goodId, replyToMessageId: second });
      expect(spoilt?.metadata).toMatchObject({ messageId: "", replyToMessageId: first });
      expect(spoilt?.error.code).toBe(3);
      const { reason = "" } = spoilt?.error ?? {};
      expect(connection.warnings).toEqual([
        `The reply to message ${first} could not be read: ${reason}`,
      ]);
      return { reason, first, spoiltId, goodId, confirmed: superLink.confirmed };
    }

    test("an object has another content", async () => {
      const { reason, ...got } = await pullBoth(({ objects }, replyId) =>
        objects.set(replyId, new Uint8Array(3)),
      );
      expect(reason).toContain("has another ID");
      expect(got.confirmed.toSorted()).toEqual([got.spoiltId, got.goodId].toSorted());
    });

    test("the objects are no message", async () => {
      const { reason, ...got } = await pullBoth(({ replies, objects }) => {
        const dict = deflate(new RecordDict());
        objects.set(dict.id, contentOf(dict));
        const [reply] = replies;
        if (reply !== undefined) reply.tree = treeOf(dict);
      });
      expect(reason).toBe("Expected an object of type Message, but got RecordDict.");
      expect(got.confirmed.toSorted()).toEqual([got.spoiltId, got.goodId].toSorted());
    });

    test.each([
      ["another sender", { srcNodeId: 9n }, '"srcNodeId" 9, but says 7'],
      ["another receiver", { dstNodeId: 9n }, '"dstNodeId" 9, but says 1'],
      ["another run", { runId: 9n }, `"runId" 9, but says ${run.runId}`],
    ])("it was announced with %s", async (_, changes, text) => {
      const { reason, ...got } = await pullBoth(({ replies }) => {
        const metadata = replies[0]?.message.metadata;
        if (metadata !== undefined) Object.assign(metadata, changes);
      });
      expect(reason).toContain(text);
      expect(got.confirmed).toContain(got.spoiltId);
    });

    test("the server does not know an object; it is not confirmed", async () => {
      const { reason, ...got } = await pullBoth(({ objects }, replyId) => objects.delete(replyId));
      expect(reason).toContain("could not be found");
      expect(got.confirmed).toEqual([got.goodId]);
    });

    test("the server refuses to give an object; it is not confirmed", async () => {
      const { reason, ...got } = await pullBoth(({ failures }) =>
        failures.set("pullObject", [new ConnectError("broken", Code.Internal)]),
      );
      expect(reason).toContain("broken");
      expect(got.confirmed).toEqual([got.goodId]);
    });

    test("an object is announced, but not there; the other does not wait for it", async () => {
      const { reason, ...got } = await pullBoth(({ objects }, replyId) =>
        objects.set(replyId, undefined),
      );
      expect(reason).toContain("is not yet available");
      expect(got.confirmed).toEqual([got.goodId]);
    });
  });

  test("a reply arrives although its confirmation fails", async () => {
    const { grid, superLink, warnings } = connected();
    const [id = ""] = await grid.pushMessages([to(7n)]);
    const replyId = superLink.answer(superLink.received(id).reply(content()));
    superLink.failures.set("confirmMessageReceived", [new ConnectError("no", Code.Internal)]);
    expect((await grid.pullMessages([id])).map(({ metadata }) => metadata.messageId)).toEqual([
      replyId,
    ]);
    expect(warnings).toEqual([`Message ${replyId} could not be confirmed: [internal] no`]);
  });

  test.each([Code.Unauthenticated, Code.PermissionDenied])(
    "an error that ends the app, code %d, ends the pull",
    async (code) => {
      const { grid, superLink } = connected();
      const ids = await grid.pushMessages([to(7n), to(8n)]);
      for (const id of ids) {
        superLink.answer(superLink.received(id).reply(content()));
      }
      superLink.failures.set("pullObject", [new ConnectError("over", code)]);
      await expect(grid.pullMessages(ids)).rejects.toThrow("over");
    },
  );

  test("returns nothing, with a warning, when resources are exhausted", async () => {
    const { grid, superLink, warnings } = connected();
    superLink.failures.set("pullMessages", [new ConnectError("full", Code.ResourceExhausted)]);
    expect(await grid.pullMessages(["a"])).toEqual([]);
    expect(warnings).toEqual(["No messages were pulled: the server's resources are exhausted."]);
  });

  test("any other error is thrown", async () => {
    const { grid, superLink } = connected();
    superLink.failures.set("pullMessages", [new ConnectError("no", Code.Unauthenticated)]);
    await expect(grid.pullMessages(["a"])).rejects.toMatchObject({ code: Code.Unauthenticated });
  });
});

describe("sendAndReceive", () => {
  /** Answers an instruction of the first push. */
  function answer(superLink: ReturnType<typeof smallSuperLink>, index: number) {
    const id = superLink.pushes[0]?.messagesList[index]?.metadata?.messageId ?? "";
    superLink.answer(superLink.received(id).reply(content()));
  }

  test("asks every 3 s until all replies have come", async () => {
    const { grid, superLink, waits, during } = connected();
    during.wait = () => answer(superLink, waits.length - 1);
    const replies = await grid.sendAndReceive([to(7n), to(8n)]);
    expect(replies.map(({ metadata }) => metadata.srcNodeId)).toEqual([7n, 8n]);
    expect(waits).toEqual([3000, 3000]);
    expect(superLink.calls.filter((rpc) => rpc === "pullMessages")).toHaveLength(3);
    expect(superLink.confirmed).toHaveLength(2);
  });

  test("case 65: returns nothing when no reply comes in 0.15 s", async () => {
    const time = virtualTime();
    const { grid } = connected({ ...time });
    expect(await time.until(grid.sendAndReceive([to(7n)], { timeoutMs: 150 }))).toEqual([]);
    expect(time.now()).toBe(150);
  });

  test("returns what has come when the time is over", async () => {
    const time = virtualTime();
    const { grid, superLink } = connected({
      ...time,
      sleep: (ms, signal) => {
        if (ms === 3000 && time.now() === 0) answer(superLink, 1);
        return time.sleep(ms, signal);
      },
    });
    const sending = grid.sendAndReceive([to(7n), to(8n)], { timeoutMs: 7000 });
    const replies = await time.until(sending);
    expect(replies.map(({ metadata }) => metadata.srcNodeId)).toEqual([8n]);
    expect(time.now()).toBe(7000);
    expect(superLink.calls.filter((rpc) => rpc === "pullMessages")).toHaveLength(3);
  });

  test("does not wait past its time for objects that a dead node announced", async () => {
    const time = virtualTime();
    const { grid, superLink } = connected({
      ...time,
      sleep: (ms, signal) => {
        if (ms === 3000) {
          const [dead, alive] = (superLink.pushes[0]?.messagesList ?? []).map(({ metadata }) =>
            superLink.received(metadata?.messageId ?? ""),
          );
          if (dead !== undefined) superLink.answer(dead.reply(content()), false);
          if (alive !== undefined) superLink.answer(alive.reply(new RecordDict()));
        }
        return time.sleep(ms, signal);
      },
    });
    const sending = grid.sendAndReceive([to(7n), to(8n)], { timeoutMs: 60_000 });
    const replies = await time.until(sending);
    expect(replies.map(({ metadata }) => metadata.srcNodeId)).toEqual([8n]);
    expect(time.now()).toBe(60_000);
    expect(superLink.calls.filter((rpc) => rpc === "pullMessages")).toHaveLength(2);
  });

  test("does not wait past its time for a SuperLink that is down, and says what it did not send", async () => {
    const time = virtualTime();
    const { grid, superLink, warnings } = connected({ ...time });
    const down = Array.from({ length: 50 }, () => new ConnectError("down", Code.Unavailable));
    superLink.failures.set("pushMessages", down);
    expect(await time.until(grid.sendAndReceive([to(7n)], { timeoutMs: 5_000 }))).toEqual([]);
    expect(time.now()).toBe(5_000);
    expect(warnings).toEqual(["Not all messages could be sent within 5000 ms."]);
  });

  test("leaves no timer behind", async () => {
    const time = virtualTime();
    const { grid } = connected({ ...time });
    await grid.sendAndReceive([], { timeoutMs: 1e12 });
    expect(time.pending()).toBe(0);
  });

  test.each([-1, Number.NaN])("refuses a time of %s ms", async (timeoutMs) => {
    const { grid } = connected();
    await expect(grid.sendAndReceive([], { timeoutMs })).rejects.toThrow(
      `"timeoutMs" must be a number of at least 0, not ${timeoutMs}`,
    );
  });

  test("an error reply is an answer too", async () => {
    const { grid, superLink, waits, during } = connected({ pollIntervalMs: 10 });
    during.wait = () => {
      const id = superLink.pushes[0]?.messagesList[0]?.metadata?.messageId ?? "";
      superLink.answer(superLink.received(id).replyWithError({ code: 2 }));
    };
    const replies = await grid.sendAndReceive([to(7n)]);
    expect(replies.map((reply) => reply.hasError())).toEqual([true]);
    expect(waits).toEqual([10]);
  });

  test("makes no call for no messages", async () => {
    const { grid, superLink } = connected();
    expect(await grid.sendAndReceive([])).toEqual([]);
    expect(superLink.calls).toEqual([]);
  });

  test.each(["the grid's", "the call's"])("ends with %s signal", async (whose) => {
    const controller = new AbortController();
    const { signal } = controller;
    const other = new AbortController().signal;
    const { grid } = connected({
      sleep: async () => controller.abort(new Error("enough")),
      signal: whose === "the grid's" ? signal : other,
    });
    const sending = grid.sendAndReceive([to(7n)], {
      signal: whose === "the call's" ? signal : other,
    });
    await expect(sending).rejects.toThrow("enough");
  });
});
