import { createHash } from "node:crypto";
import {
  ArrayRecord,
  ClientApp,
  ConfigRecord,
  type Context,
  MetricRecord,
  NdArray,
  RecordDict,
} from "countersign/appio";

/** The ClientApp in TypeScript: does what echo-app/echo_app/client_app.py does. */
export default new ClientApp()
  .train((message, context) => {
    const { content } = message;
    const arrays = content.getArrayRecord("arrays");
    const seen = new ConfigRecord();
    for (const [key, array] of arrays) seen.set(key, sha256(array.toBytes()));
    const { name, "partition-id": partition } = context.nodeConfig;
    // A virtual node of a simulation has no name, but a number.
    seen.set("node", String(name ?? partition));
    seen.set("greeting", text(context.runConfig.greeting));
    const calls = countCalls(context);
    return message.reply(
      new RecordDict({
        arrays,
        reversed: new ArrayRecord({ "0": reversed(arrays.get("big")) }),
        config: content.getConfigRecord("config"),
        metrics: content.getMetricRecord("metrics"),
        calls: new MetricRecord({ calls }),
        seen,
      }),
    );
  })
  .query("boom", () => {
    throw new RangeError("boom");
  });

/** How often this node was asked in this run: what the node keeps between its processes. */
function countCalls(context: Context): bigint {
  const memory = context.state.find("memory");
  const before = memory instanceof MetricRecord ? memory.getInteger("calls") : 0n;
  context.state.set("memory", new MetricRecord({ calls: before + 1n }));
  return before + 1n;
}

/** The same elements in the opposite order, moved as bits: a float's NaN must keep its payload. */
export function reversed(array: NdArray): NdArray {
  const elements = array.toTypedArray();
  const bits = new Uint32Array(elements.buffer, elements.byteOffset, elements.length);
  return NdArray.from(new Float32Array(bits.toReversed().buffer), array.shape);
}

/** Lower-case hex SHA-256. */
export function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

function text(value: unknown): string {
  if (typeof value !== "string") throw new TypeError("a text is missing from the configuration");
  return value;
}
