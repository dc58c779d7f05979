import {
  create,
  type DescMessage,
  type DescMethodUnary,
  type MessageInitShape,
  type MessageShape,
} from "@bufbuild/protobuf";
import { Client, credentials, Metadata } from "@grpc/grpc-js";
import { ServerAppIo } from "../../gen/flwr/proto/serverappio_pb.ts";
import { contentOf, deflate, objectsOf, treeOf } from "../../src/appio/objects/deflate.ts";
import type { Message } from "../../src/appio/objects/message.ts";
import { objectIdsOf } from "../../src/appio/objects/object-tree.ts";
import { superLinkNodeId } from "../../src/appio/objects/super-link-node-id.ts";
import { grpcMethod } from "../grpc-method.ts";
import type { Run } from "../load/run.ts";
import { tokenHeader } from "../servers/paths.ts";
import type { CreateClient, Round } from "./measured-client.ts";

const rpcs = ServerAppIo.method;

/** How many objects are moved at once: as many as Grid moves. */
const concurrency = 2;

/** Connects @grpc/grpc-js. */
export function connectGrpcJs(url: string): CreateClient {
  const client = new Client(new URL(url).host, credentials.createInsecure());
  return (run) => {
    const call = createCall(client, run);
    return {
      async getNodeIds() {
        const { nodes } = await call(rpcs.getNodes, { runId: run.runId });
        return nodes.map(({ nodeId }) => nodeId);
      },
      prepare: (messages) => prepareRound(call, run.runId, messages),
    };
  };
}

type Call = <I extends DescMessage, O extends DescMessage>(
  method: DescMethodUnary<I, O>,
  request: MessageInitShape<I>,
) => Promise<MessageShape<O>>;

function createCall(client: Client, { token }: Run): Call {
  const metadata = new Metadata();
  metadata.set(tokenHeader, token);
  return (method, request) => {
    const { path, requestSerialize, responseDeserialize } = grpcMethod(method);
    return new Promise((resolve, reject) => {
      client.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        create(method.input, request),
        metadata,
        (error, answer) =>
          answer === undefined ? reject(error ?? new Error("no answer")) : resolve(answer),
      );
    });
  };
}

/** The calls of Grid, and no more: what is sent is ready before, and what comes is left as it is. */
function prepareRound(call: Call, runId: bigint, messages: readonly Message[]): Round {
  const caller = { node: { nodeId: superLinkNodeId }, runId };
  const addressed = messages.map((message) =>
    message.withMetadata({ runId, srcNodeId: superLinkNodeId }),
  );
  const deflated = addressed.map((message) => deflate(message));
  const messagesList = addressed.map((message, index) =>
    message.withMetadata({ messageId: deflated[index]?.id ?? "" }).toProto(),
  );
  const messageObjectTrees = deflated.map(treeOf);
  const contents = new Map(
    deflated.flatMap((object) =>
      Array.from(objectsOf(object), ([id, one]) => [id, contentOf(one)] as const),
    ),
  );
  let messageIds: string[] = [];
  return {
    async push() {
      const announced = await call(rpcs.pushMessages, { runId, messagesList, messageObjectTrees });
      messageIds = announced.messageIds;
      const wanted = new Set(announced.objectsToPush);
      const objects = [...contents].filter(([id]) => wanted.has(id));
      await eachOf(objects, async ([objectId, objectContent]) => {
        const { stored } = await call(rpcs.pushObject, { ...caller, objectId, objectContent });
        if (!stored) throw new Error(`object ${objectId} was not stored`);
      });
    },
    async pull() {
      const replies = await call(rpcs.pullMessages, { runId, messageIds });
      const pulls = replies.messageObjectTrees.flatMap((tree) => {
        const ids = [...new Set(objectIdsOf(tree))];
        return ids.map((objectId, index) => ({
          ...{ objectId, messageId: tree.objectId, isLast: index === ids.length - 1 },
        }));
      });
      const confirmed: Promise<unknown>[] = [];
      await eachOf(pulls, async ({ objectId, messageId, isLast }) => {
        const { objectAvailable } = await call(rpcs.pullObject, { ...caller, objectId });
        if (!objectAvailable) throw new Error(`object ${objectId} is not there`);
        if (isLast) {
          confirmed.push(
            call(rpcs.confirmMessageReceived, { ...caller, messageObjectId: messageId }),
          );
        }
      });
      await Promise.all(confirmed);
      return replies.messagesList.length;
    },
  };
}

async function eachOf<T>(items: Iterable<T>, work: (item: T) => Promise<void>): Promise<void> {
  const left = items[Symbol.iterator]();
  const worker = async () => {
    for (const item of { [Symbol.iterator]: () => left }) await work(item);
  };
  await Promise.all(Array.from({ length: concurrency }, worker));
}
