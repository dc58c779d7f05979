import { createHash } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import { RunSchema } from "../../gen/flwr/proto/run_pb.ts";
import { openGrpc } from "../../src/appio/grpc-connection.ts";
import { Message } from "../../src/appio/objects/message.ts";
import { Grid } from "../../src/appio/runtime/grid.ts";
import { parseToken } from "../../src/policy/token.ts";
import { digestOf, makeRecord } from "./record.ts";
import { peakBytes, readTask, tell } from "./step.ts";

// A ServerApp that does one half of its work: it sends the record, or collects the reply.
const { address = "", token = "", runId = "", ...task } = await readTask();
const { transport, close } = openGrpc(address);
const grid = new Grid({
  transport,
  token: parseToken(token),
  run: create(RunSchema, { runId: BigInt(runId) }),
  createSha256: () => createHash("sha256"),
});
const [dstNodeId = 0n] = await grid.getNodeIds();
const before = peakBytes();
if (task.messageId === undefined) {
  const content = makeRecord(Number(task.bytes));
  const message = new Message({ content, messageType: "train", dstNodeId });
  const [messageId = ""] = await grid.pushMessages([message]);
  tell({ messageId, digest: digestOf(content), before, after: peakBytes() });
} else {
  const [reply] = await grid.pullMessages([task.messageId]);
  const after = peakBytes();
  tell({ digest: reply === undefined ? "" : digestOf(reply.content), before, after });
}
close();
