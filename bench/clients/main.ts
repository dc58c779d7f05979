import { createInterface } from "node:readline";
import { Message } from "../../src/appio/objects/message.ts";
import type { Run } from "../load/run.ts";
import { nodeIds } from "../servers/answers.ts";
import { smallRecords } from "../servers/small-records.ts";
import type { ClientOrder } from "./client-order.ts";
import { connectGrid } from "./grid-client.ts";
import { connectGrpcJs } from "./grpc-js-client.ts";
import { measureCalls } from "./measure-calls.ts";
import type { CreateClient, MeasuredClient, Round } from "./measured-client.ts";

const connects: Readonly<Record<string, (url: string) => CreateClient>> = {
  grpcJsClient: connectGrpcJs,
  grpcJsRound: connectGrpcJs,
  oursGrid: connectGrid,
  oursGridRound: connectGrid,
};

const [name = "", url = ""] = process.argv.slice(2);
const connect = connects[name];
if (connect === undefined) throw new Error(`there is no client "${name}"`);
const createClient = connect(url);
let round: Round | undefined;
console.log(JSON.stringify({ url }));
for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(await obey(JSON.parse(line))));
}
// Whoever started it has gone when stdin ends.
process.exit();

async function obey(order: ClientOrder): Promise<object> {
  switch (order.do) {
    case "call":
      return call(createClient(runOf(order)), order);
    case "prepare":
      round = await prepare(createClient(runOf(order)), order);
      return {};
    case "push":
      return timed(async () => round?.push());
    case "pull":
      return timed(async () => {
        const replies = await round?.pull();
        if (replies !== order.replies) throw new Error(`${replies} replies have come`);
      });
  }
}

function runOf({ runId, token }: { readonly runId: string; readonly token: string }): Run {
  return { runId: BigInt(runId), token };
}

/** Makes the smallest call that Grid has. */
function call(client: MeasuredClient, order: Extract<ClientOrder, { do: "call" }>) {
  const expected = nodeIds.join();
  return measureCalls(async () => {
    const got = (await client.getNodeIds()).join();
    if (got !== expected) throw new Error(`the nodes ${got} were returned`);
  }, order);
}

/** Makes messages to all nodes in turn, which share their content as those of a round do. */
async function prepare(
  client: MeasuredClient,
  { messages, number }: Extract<ClientOrder, { do: "prepare" }>,
): Promise<Round> {
  const nodes = await client.getNodeIds();
  const content = smallRecords(number);
  return client.prepare(
    Array.from({ length: messages }, (_, index) => {
      const dstNodeId = nodes[index % nodes.length] ?? 0n;
      // Without a group of its own a message could be the same as another one, down to its id.
      return new Message({
        content,
        messageType: "train",
        dstNodeId,
        groupId: `${number}-${index}`,
      });
    }),
  );
}

async function timed(work: () => Promise<void>): Promise<object> {
  const startedAt = performance.now();
  await work();
  return { seconds: (performance.now() - startedAt) / 1000 };
}
