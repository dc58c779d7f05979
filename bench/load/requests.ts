import { create, toBinary } from "@bufbuild/protobuf";
import { PushObjectRequestSchema } from "../../gen/flwr/proto/message_pb.ts";
import { GetNodesRequestSchema } from "../../gen/flwr/proto/serverappio_pb.ts";
import { runId } from "../servers/answers.ts";

/** A token of the right form that nobody has issued. */
export const unknownToken = "0d".repeat(128);

/** The message that asks for the nodes. */
export const getNodesRequest = toBinary(
  GetNodesRequestSchema,
  create(GetNodesRequestSchema, { runId }),
);

/** A message that brings an object of a size, for servers that do not look at it. */
export function pushObjectRequest(bytes: number): Uint8Array {
  return toBinary(
    PushObjectRequestSchema,
    create(PushObjectRequestSchema, {
      runId,
      objectId: "ab".repeat(32),
      objectContent: new Uint8Array(bytes).fill(0x5a),
    }),
  );
}
