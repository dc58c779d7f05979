import { toBinary } from "@bufbuild/protobuf";
import { ContextSchema } from "../../../../gen/flwr/proto/message_pb.ts";
import { RecordDict } from "../../objects/record-dict.ts";
import type { ConfigValues } from "../../runtime/config-values.ts";
import { contextToProto } from "../../runtime/context.ts";
import { randomId } from "../../state/random-id.ts";

/** A node that exists in a simulation only. */
export interface VirtualNode {
  readonly nodeId: bigint;
  /** Its place among the nodes, from 0. */
  readonly partitionId: number;
  /** Its context, as its last ClientApp left it: a serialised protobuf Context. */
  context: Uint8Array;
  /** Resolves when the node has done all that it has been given to do. Never rejects. */
  idle: Promise<void>;
}

/**
 * Makes the nodes of a simulation, by their ids, in the order of their
 * partitions. Ids are random, as in a federation; what tells a ClientApp its
 * share of the data is its node's configuration, with Flower's keys:
 * `partition-id`, from 0, and `num-partitions`.
 */
export function createVirtualNodes(
  runId: bigint,
  count: number,
  runConfig: ConfigValues,
): ReadonlyMap<bigint, VirtualNode> {
  const nodes = new Map<bigint, VirtualNode>();
  while (nodes.size < count) {
    const nodeId = randomId();
    if (nodes.has(nodeId)) {
      continue;
    }
    const partitionId = nodes.size;
    const nodeConfig = {
      "partition-id": BigInt(partitionId),
      "num-partitions": BigInt(count),
    };
    const context = { runId, nodeId, nodeConfig, state: new RecordDict(), runConfig };
    nodes.set(nodeId, {
      nodeId,
      partitionId,
      context: toBinary(ContextSchema, contextToProto(context)),
      idle: Promise.resolve(),
    });
  }
  return nodes;
}
