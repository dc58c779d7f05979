import { fromBinary } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { type Message, MessageSchema } from "../../../gen/flwr/proto/message_pb.ts";
import { hotStatement } from "../../authority/hot-statement.ts";
import type { SqlUint64 } from "../../authority/sql-integer.ts";
import type { StateTransaction } from "./core.ts";
import { decodeMessage } from "./stored-message.ts";
import type { StateTables } from "./tables.ts";

/**
 * Checks the bytes of an object that may be the root of a stored reply. A
 * ServerApp believes the metadata in them, so they must say what the reply was
 * announced with, its sender above all. In the transaction that makes the bytes
 * available: one that stores the reply waits for it, or comes before.
 *
 * @throws ConnectError PermissionDenied if they name another run, node or
 * instruction.
 */
export async function assertHonest(
  tx: StateTransaction,
  runId: SqlUint64,
  objectId: string,
  content: Uint8Array,
): Promise<void> {
  const { rows } = await findReply(tx, { runId, objectId });
  const [reply] = rows;
  if (reply !== undefined && !saysTheSame(decodeMessage(reply).message, content)) {
    throw anotherSender();
  }
}

const findReply = hotStatement<StateTables, { runId: SqlUint64; objectId: string }>()(
  (query, value) =>
    query
      .selectFrom("reply")
      .select(["message", "tree"])
      .where("run_id", "=", value("runId"))
      .where("message_id", "=", value("objectId"))
      .where("is_error", "=", 0n),
);

/** Tells whether a message object's body has the addresses of a message as it was announced. */
export function saysTheSame({ metadata: announced }: Message, content: Uint8Array): boolean {
  let said: Message;
  try {
    said = fromBinary(MessageSchema, content.subarray(content.indexOf(0) + 1));
  } catch {
    return false;
  }
  return (
    said.metadata?.runId === announced?.runId &&
    said.metadata?.srcNodeId === announced?.srcNodeId &&
    said.metadata?.dstNodeId === announced?.dstNodeId &&
    said.metadata?.replyToMessageId === announced?.replyToMessageId
  );
}

/** The refusal of a reply whose bytes are not what was announced. */
export function anotherSender(): ConnectError {
  return new ConnectError("The message names another sender.", Code.PermissionDenied);
}
