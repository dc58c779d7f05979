import { readFile } from "node:fs/promises";
import { ClientApp, type Context, MetricRecord, RecordDict } from "countersign/appio";
import { type Digits, decodeDigits, splitDigits } from "./digits.ts";
import { fromRecord, toRecord } from "./model-record.ts";
import { evaluate, train } from "./softmax.ts";

/** Of its digits a node trains with this share and evaluates with the rest. */
const trainingShare = 0.8;

/** The node's own digits: they never leave it, only models and measures do. */
async function ownDigits({ nodeConfig }: Context): Promise<[training: Digits, validation: Digits]> {
  const file = nodeConfig.partition;
  if (typeof file !== "string") throw new TypeError('the node config lacks "partition"');
  const digits = decodeDigits(await readFile(file));
  return splitDigits(digits, Math.floor(digits.labels.length * trainingShare));
}

export default new ClientApp()
  .train(async (message, context) => {
    const [digits] = await ownDigits(context);
    const config = message.content.getConfigRecord("config");
    const model = train(fromRecord(message.content.getArrayRecord("model")), digits, {
      epochs: config.getNumber("epochs"),
      batchSize: config.getNumber("batch-size"),
      learningRate: config.getNumber("learning-rate"),
    });
    const metrics = new MetricRecord({ examples: BigInt(digits.labels.length) });
    return message.reply(new RecordDict({ model: toRecord(model), metrics }));
  })
  .evaluate(async (message, context) => {
    const [, digits] = await ownDigits(context);
    const { accuracy, loss } = evaluate(
      fromRecord(message.content.getArrayRecord("model")),
      digits,
    );
    const metrics = new MetricRecord({ accuracy, loss, examples: BigInt(digits.labels.length) });
    return message.reply(new RecordDict({ metrics }));
  });
