import { createHash } from "node:crypto";
import { workerData } from "node:worker_threads";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { PullAppInputsResponseSchema } from "../../../../gen/flwr/proto/appio_pb.ts";
import { ContextSchema } from "../../../../gen/flwr/proto/message_pb.ts";
import { deflate } from "../../objects/deflate.ts";
import { answerMessage } from "../../runtime/answer-message.ts";
import { packDeflated, unpackMessage } from "./message-packet.ts";
import type { WorkerAnswer, WorkerSetup, WorkerTask } from "./worker-protocol.ts";

const { port, clientAppUrl }: WorkerSetup = workerData;

/** A thread is ended from outside, so the signal that ClientApps get is never aborted. */
const lifetime = { signal: new AbortController().signal };

/** Bound before the ClientApp is loaded: it may put something else in the place of `write`. */
const flushes = [process.stdout, process.stderr].map((stream) => {
  const write = stream.write.bind(stream);
  return () => new Promise<void>((resolve) => write("", () => resolve()));
});

// The module is imported with the first message and once: what it keeps to itself,
// the nodes that this thread works for share.
const loadApp = async () => {
  const module: object = await import(clientAppUrl);
  return { app: "default" in module ? module.default : undefined };
};

port.on("message", async (task: WorkerTask) => {
  // What this throws ends the thread, which is an answer as well.
  const answer = await answerTask(task);
  // After the answer the thread may be stopped at any time, and what it has not passed on by then is lost.
  await Promise.all(flushes.map((flush) => flush()));
  port.postMessage(answer, [answer.packet.buffer, answer.context.buffer]);
});

async function answerTask({ packet, context, nodeName }: WorkerTask): Promise<WorkerAnswer> {
  const inputs = create(PullAppInputsResponseSchema, {
    context: fromBinary(ContextSchema, context),
    run: {},
    fab: {},
  });
  const log = (line: string) => void process.stderr.write(`${nodeName}: ${line}\n`);
  const message = unpackMessage(packet);
  const answer = await answerMessage(message, inputs, { loadApp, lifetime, onLog: log });
  const reply = deflate(answer.reply, { createSha256: () => createHash("sha256") });
  return { packet: packDeflated(reply), context: toBinary(ContextSchema, answer.context) };
}
