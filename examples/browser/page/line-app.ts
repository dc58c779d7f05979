import { ClientApp, type Message, MetricRecord, RecordDict, type Sleep } from "countersign/appio";
import { fromRecord, type Line, lossOf, type Point, stepTowards, toRecord } from "../app/line.ts";

/** How far the answer to a message is. */
export interface Progress {
  readonly message: Message;
  readonly step: number;
  readonly steps: number;
  readonly line: Line;
  readonly loss: number;
}

/** What {@link createLineApp} works with. */
export interface LineAppOptions {
  /** The tab's own measurements. They are used here and sent nowhere. */
  readonly points: readonly Point[];
  readonly onProgress: (progress: Progress) => void;
  /** Makes the pauses between steps, which are there for people to watch. */
  readonly sleep: Sleep;
}

const stepPauseMs = 25;

/** The ClientApp of this page: fits the line to the tab's measurements. */
export function createLineApp({ points, onProgress, sleep }: LineAppOptions): ClientApp {
  return new ClientApp().train(async (message, _context, { signal }) => {
    const config = message.content.getConfigRecord("config");
    const steps = config.getNumber("steps");
    const learningRate = config.getNumber("learning-rate");
    let line = fromRecord(message.content.getArrayRecord("model"));
    for (let step = 1; step <= steps; step++) {
      line = stepTowards(line, points, learningRate);
      onProgress({ message, step, steps, line, loss: lossOf(line, points) });
      await sleep(stepPauseMs, signal);
      signal.throwIfAborted();
    }
    const metrics = new MetricRecord({
      examples: BigInt(points.length),
      loss: lossOf(line, points),
    });
    return message.reply(new RecordDict({ model: toRecord(line), metrics }));
  });
}
