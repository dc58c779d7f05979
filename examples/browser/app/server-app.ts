import { setTimeout as sleep } from "node:timers/promises";
import { ConfigRecord, type Context, Message, RecordDict, ServerApp } from "countersign/appio";
import { averageLines, fromRecord, startLine, toRecord } from "./line.ts";

/**
 * Federated averaging of a line. A round waits for its replies without a limit: until somebody opens a page that
 * answers. Each round ends with a line of JSON in the run's log.
 */
export default new ServerApp().main(async (grid, context, { signal }) => {
  const rounds = number(context, "num-rounds");
  const config = new ConfigRecord({
    steps: number(context, "steps"),
    "learning-rate": number(context, "learning-rate"),
  });
  let nodeIds = await grid.getNodeIds();
  while (nodeIds.length === 0) {
    await sleep(200, undefined, { signal });
    nodeIds = await grid.getNodeIds();
  }

  let line = startLine;
  for (let round = 1; round <= rounds; round++) {
    const content = new RecordDict({ model: toRecord(line), config });
    const messages = nodeIds.map(
      (dstNodeId) =>
        new Message({ content, messageType: "train", dstNodeId, groupId: String(round) }),
    );
    const replies = await grid.sendAndReceive(messages);
    const trained = replies.map(({ content }) => ({
      line: fromRecord(content.getArrayRecord("model")),
      examples: Number(content.getMetricRecord("metrics").getInteger("examples")),
    }));
    line = averageLines(trained);
    const examples = trained.reduce((sum, one) => sum + one.examples, 0);
    console.log(JSON.stringify({ round, rounds, ...line, examples }));
  }
});

function number({ runConfig }: Context, key: string): number {
  const value = runConfig[key];
  if (typeof value !== "number") throw new TypeError(`the run config "${key}" must be a number`);
  return value;
}
