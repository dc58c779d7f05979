import { create, toBinary } from "@bufbuild/protobuf";
import { PushObjectResponseSchema } from "../../gen/flwr/proto/message_pb.ts";
import { GetNodesResponseSchema } from "../../gen/flwr/proto/serverappio_pb.ts";
import { parseToken } from "../../src/policy/token.ts";

/** The run that every call names: an id of the size that random ones have. */
export const runId = 0x7a5f_31c2_9d04_e8b7n;

/** The nodes of that run, ten as in the workload: random ids, most of them above 2^63. */
export const nodeIds: readonly bigint[] = [
  0x9b41_77e0_52ac_13fdn,
  0x3ce9_0b6a_f8d1_2745n,
  0xe207_5d93_416b_8acfn,
  0x58fa_c31e_07b9_d462n,
  0xc6d8_2a4f_9e75_b013n,
  0xf173_84bd_60ce_295an,
  0x8d2e_f609_b7a3_51c4n,
  0xa45c_190e_d83f_7b26n,
  0xd98b_6e52_3f14_c07an,
  0xb630_c7f5_a2e8_4d91n,
];

/** The token of servers that do not issue their own: of the length that AppIo tokens have. */
export const fixedToken = parseToken("5e".repeat(128));

/** What a server answers to GetNodes. A new object each time, as a handler makes one. */
export function nodes(): { nodes: { nodeId: bigint }[] } {
  return { nodes: nodeIds.map((nodeId) => ({ nodeId })) };
}

/** The message that answers GetNodes. */
export const nodesBytes = toBinary(GetNodesResponseSchema, create(GetNodesResponseSchema, nodes()));

/** The message that answers PushObject. */
export const storedBytes = toBinary(
  PushObjectResponseSchema,
  create(PushObjectResponseSchema, { stored: true }),
);

/** Puts gRPC's prefix before a message: not compressed, and its length. */
export function frame(message: Uint8Array): Buffer {
  const framed = Buffer.allocUnsafe(5 + message.length);
  framed[0] = 0;
  framed.writeUInt32BE(message.length, 1);
  framed.set(message, 5);
  return framed;
}
