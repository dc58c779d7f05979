import { writeFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import {
  ConfigRecord,
  type Context,
  Message,
  type MetricRecord,
  RecordDict,
  ServerApp,
  type ServerAppGrid,
} from "countersign/appio";
import { fromRecord, toRecord } from "./model-record.ts";
import { averageModels, emptyModel, encodeModel, type Model } from "./softmax.ts";

/** How long all nodes together may take for one instruction. */
const replyTimeoutMs = 60_000;

/**
 * Federated averaging: every node trains the model on digits of its own, the results are averaged by how many digits
 * they come from, and every node measures the average. Each round ends with a line of JSON in the run's log.
 */
export default new ServerApp().main(async (grid, context, { signal }) => {
  const rounds = number(context, "num-rounds");
  const config = new ConfigRecord({
    epochs: number(context, "local-epochs"),
    "batch-size": number(context, "batch-size"),
    "learning-rate": number(context, "learning-rate"),
  });
  const nodeIds = await waitForNodes(grid, number(context, "min-nodes"), signal);

  let model = emptyModel();
  for (let round = 1; round <= rounds; round++) {
    const trained = await ask(grid, nodeIds, "train", round, model, config);
    model = averageModels(
      trained.map((reply) => ({
        model: fromRecord(reply.getArrayRecord("model")),
        examples: Number(metricsOf(reply).getInteger("examples")),
      })),
    );
    const measured = await ask(grid, nodeIds, "evaluate", round, model, config);
    console.log(JSON.stringify({ round, rounds, ...average(measured.map(metricsOf)) }));
  }

  const file = context.runConfig["model-file"];
  if (typeof file === "string" && file !== "") await writeFile(file, encodeModel(model));
});

/** Sends all nodes the same instruction and returns the contents of their replies, each of which must come. */
async function ask(
  grid: ServerAppGrid,
  nodeIds: readonly bigint[],
  messageType: "train" | "evaluate",
  round: number,
  model: Model,
  config: ConfigRecord,
): Promise<RecordDict[]> {
  const content = new RecordDict({ model: toRecord(model), config });
  const messages = nodeIds.map(
    (dstNodeId) => new Message({ content, messageType, dstNodeId, groupId: String(round) }),
  );
  const replies = await grid.sendAndReceive(messages, { timeoutMs: replyTimeoutMs });
  if (replies.length < messages.length) {
    throw new Error(
      `round ${round}: ${replies.length} of ${messages.length} nodes answered ${messageType}`,
    );
  }
  return replies.map(({ content }) => content);
}

function metricsOf(reply: RecordDict): MetricRecord {
  return reply.getMetricRecord("metrics");
}

/** Means of the nodes' measures, weighted by their numbers of digits. */
function average(metrics: readonly MetricRecord[]): { accuracy: number; loss: number } {
  const total = metrics.reduce((sum, one) => sum + Number(one.getInteger("examples")), 0);
  const mean = (key: string): number =>
    metrics.reduce(
      (sum, one) => sum + (one.getNumber(key) * Number(one.getInteger("examples"))) / total,
      0,
    );
  return { accuracy: mean("accuracy"), loss: mean("loss") };
}

async function waitForNodes(
  grid: ServerAppGrid,
  count: number,
  signal: AbortSignal,
): Promise<bigint[]> {
  for (;;) {
    const nodeIds = await grid.getNodeIds();
    if (nodeIds.length >= count) return nodeIds;
    await sleep(200, undefined, { signal });
  }
}

function number({ runConfig }: Context, key: string): number {
  const value = runConfig[key];
  if (typeof value !== "number") throw new TypeError(`the run config "${key}" must be a number`);
  return value;
}
