import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import {
  ArrayRecord,
  ConfigRecord,
  Message,
  MetricRecord,
  NdArray,
  RecordDict,
  ServerApp,
  type ServerAppGrid,
} from "countersign/appio";
import { reversed, sha256 } from "./echo-client-app.ts";

const bigElements = (5 * 1024 * 1024) / 4;
const replyTimeoutMs = 120_000;

/** The ServerApp in TypeScript: does what echo-app/echo_app/server_app.py does. */
export default new ServerApp().main(async (grid, { runConfig }, { signal }) => {
  if (runConfig.mode === "wait") {
    console.log("waiting");
    for (;;) {
      await delay(200, undefined, { signal });
      await grid.getNodeIds();
    }
  }
  const nodeIds = await waitForNodes(grid, Number(runConfig["min-nodes"]), signal);
  for (let round = 1; round <= Number(runConfig["num-rounds"]); round++) {
    const arrays = makeArrays();
    const content = new RecordDict({ arrays, config: makeConfig(), metrics: makeMetrics() });
    const replies = await grid.sendAndReceive(
      nodeIds.map(
        (dstNodeId) =>
          new Message({ content, dstNodeId, messageType: "train", groupId: String(round) }),
      ),
      { timeoutMs: replyTimeoutMs },
    );
    assert.equal(replies.length, nodeIds.length, "replies");
    const names = replies.map((reply) => {
      assert.ok(nodeIds.includes(reply.metadata.srcNodeId), "the node that answered");
      assert.equal(reply.metadata.groupId, String(round), "group_id");
      assert.equal(
        reply.content.getConfigRecord("seen").getString("greeting"),
        runConfig.greeting,
        "the node's run configuration",
      );
      return checkReply(reply.content, arrays, round);
    });
    console.log(JSON.stringify({ round, nodes: names.toSorted() }));
  }
  const stranger = new Message({
    content: new RecordDict(),
    dstNodeId: 4711n,
    messageType: "query",
  });
  console.log(JSON.stringify({ stranger: await grid.pushMessages([stranger]) }));
  const answers = await grid.sendAndReceive(
    nodeIds.map(
      (dstNodeId) =>
        new Message({ content: new RecordDict(), dstNodeId, messageType: "query.boom" }),
    ),
    { timeoutMs: replyTimeoutMs },
  );
  const errors = answers.map(({ error }) => error);
  console.log(
    JSON.stringify({
      errors: errors.toSorted((a, b) => String(a.reason).localeCompare(String(b.reason))),
    }),
  );
});

/** Compares a reply with what was sent; returns the node's name. */
function checkReply(reply: RecordDict, arrays: ArrayRecord, round: number): string {
  const seen = reply.getConfigRecord("seen");
  for (const [key, sent] of arrays) {
    const found = reply.getArrayRecord("arrays").get(key);
    assert.deepEqual([found.dtype, found.shape], [sent.dtype, sent.shape], `${key}: type`);
    assert.ok(isSame(found, sent), `${key}: the bytes that came back`);
    assert.equal(
      seen.getString(key),
      sha256(sent.toBytes()),
      `${key}: the bytes that the node saw`,
    );
  }
  const [backwards, ...others] = reply.getArrayRecord("reversed").values();
  assert.ok(backwards !== undefined && others.length === 0, "one array that the node made");
  assert.ok(isSame(backwards, reversed(arrays.get("big"))), "the array that the node made");
  assert.deepEqual(reply.getConfigRecord("config").toProto(), makeConfig().toProto(), "config");
  assert.deepEqual(reply.getMetricRecord("metrics").toProto(), makeMetrics().toProto(), "metrics");
  assert.equal(reply.getMetricRecord("calls").getInteger("calls"), BigInt(round), "state");
  return seen.getString("node");
}

function isSame(found: NdArray, sent: NdArray): boolean {
  return Buffer.compare(found.toBytes(), sent.toBytes()) === 0;
}

function makeArrays(): ArrayRecord {
  // Random bits: every kind of NaN, infinities and subnormal numbers are among them.
  const bits = new Uint8Array(randomBytes(bigElements * 4)).buffer;
  return new ArrayRecord({
    big: NdArray.from(new Float32Array(bits, 0, bigElements)),
    integers: NdArray.from(new BigInt64Array([-3n, -2n, -1n, 0n, 1n, 2n]), [2, 3]),
    scalar: NdArray.scalar(1.5, "float32"),
    empty: NdArray.from(new Float64Array(), [0, 4]),
    half: NdArray.from(new Uint16Array([0, 0x3c00, 0x7c00, 0x7e01]), [4], { dtype: "float16" }),
    flags: NdArray.from(new Uint8Array([1, 0, 1]), [3], { dtype: "bool" }),
    bytes: NdArray.from(new Uint8Array(randomBytes(33))),
  });
}

function makeConfig(): ConfigRecord {
  return new ConfigRecord({
    double: 0.1,
    whole: 5,
    integer: 128n,
    negative: -(2n ** 63n),
    unsigned: 2n ** 64n - 1n,
    yes: true,
    no: false,
    text: 'h\u00e9 \u{1f600} "\\/',
    none: "",
    raw: new Uint8Array([0, 255]),
    doubles: [0.5, -0],
    integers: [1n, -2n],
    large: [1n, 2n ** 64n - 1n],
    flags: [true, false],
    texts: ["a", ""],
    raws: [new Uint8Array([120]), new Uint8Array()],
    empty: [],
  });
}

function makeMetrics(): MetricRecord {
  return new MetricRecord({
    accuracy: 0.93,
    n: 5n,
    losses: [0.23, 0.1],
    counts: [1n, 2n],
    empty: [],
  });
}

async function waitForNodes(
  grid: ServerAppGrid,
  count: number,
  signal: AbortSignal,
): Promise<bigint[]> {
  for (;;) {
    const nodeIds = await grid.getNodeIds();
    if (nodeIds.length >= count) return nodeIds;
    await delay(200, undefined, { signal });
  }
}
