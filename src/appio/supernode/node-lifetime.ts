import { fromBinary, toBinary } from "@bufbuild/protobuf";
import type { Selectable } from "kysely";
import { MessageSchema, ObjectTreeSchema } from "../../../gen/flwr/proto/message_pb.ts";
import { type Authority, fromSqlInteger, toSqlInteger } from "../../authority/index.ts";
import { objectTree } from "../objects/object-tree.ts";
import { makeErrorReply, type NodeErrorCode, stoppedResponding } from "./error-reply.ts";
import { nodeObjects } from "./node-objects.ts";
import type { NodeMessageTable, NodeTransaction } from "./node-tables.ts";

/** A stored instruction, with its reply if there is one. */
export type MessageRow = Selectable<NodeMessageTable>;

/** ClientApps launched for one message before the node gives up: the first and three more. */
export const maxLaunches = 4n;

/** What follows for a run's messages when the token of its ClientApp ends. */
export interface NodeLifetime {
  /** Ends what belongs to expired tokens. Comes first in every transaction: expiry is decided on read. */
  sweep(tx: NodeTransaction): Promise<void>;
  /** Ends what belongs to a run's token, which has just been revoked or has expired. */
  endToken(tx: NodeTransaction, runId: bigint): Promise<void>;
  /** Stores an error reply to an instruction, in place of an incomplete reply if there is one. */
  answerWithError(
    tx: NodeTransaction,
    row: MessageRow,
    code: NodeErrorCode,
    reason: string,
  ): Promise<void>;
  /** Removes an instruction with its reply and the objects of both. */
  remove(tx: NodeTransaction, row: MessageRow): Promise<void>;
}

/** What {@link createNodeLifetime} works on. */
export interface NodeLifetimeOptions {
  readonly authority: Authority;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Told after the commit that some reply can be forwarded. */
  readonly onReply: () => void;
}

/** Creates the rules of {@link NodeLifetime}. */
export function createNodeLifetime(options: NodeLifetimeOptions): NodeLifetime {
  const { authority, now, onReply } = options;

  async function sweep(tx: NodeTransaction): Promise<void> {
    for (const { runId } of await authority.takeExpired(tx)) {
      await endToken(tx, runId);
    }
  }

  async function endToken(tx: NodeTransaction, runId: bigint): Promise<void> {
    const id = toSqlInteger(runId);
    await tx.query.deleteFrom("node_claim").where("run_id", "=", id).execute();
    const rows = await tx.query
      .selectFrom("node_message")
      .selectAll()
      .where("run_id", "=", id)
      .where("phase", "!=", "arriving")
      .orderBy("seq")
      .execute();
    for (const row of rows) {
      if (row.phase === "forwarded") {
        await remove(tx, row);
      } else if (
        row.phase === "taken" ||
        (row.phase === "answered" && (await isIncomplete(tx, row)))
      ) {
        // Nobody can push the missing objects any more: objects belong to the token's run, and a new token to a new app.
        await answerWithError(tx, row, "clientAppCrashed", stoppedResponding);
      } else if (row.phase === "waiting" && row.launches >= maxLaunches) {
        await answerWithError(tx, row, "clientAppCrashed", stoppedResponding);
      }
    }
  }

  async function answerWithError(
    tx: NodeTransaction,
    row: MessageRow,
    code: NodeErrorCode,
    reason: string,
  ): Promise<void> {
    const runId = fromSqlInteger(row.run_id);
    await releaseObjects(tx, row);
    const reply = makeErrorReply(fromBinary(MessageSchema, row.message), code, reason, now);
    const tree = objectTree(reply.id);
    await nodeObjects.announce(tx, runId, tree);
    await nodeObjects.put(tx, runId, reply.id, reply.content);
    await tx.query
      .updateTable("node_message")
      .set({
        phase: "answered",
        // Without it the answer waits for no token's end.
        token_digest: null,
        ended_at: row.started_at === null ? null : BigInt(Math.trunc(now())),
        reply_id: reply.id,
        reply: toBinary(MessageSchema, reply.message),
        reply_tree: toBinary(ObjectTreeSchema, tree),
      })
      .where("seq", "=", row.seq)
      .execute();
    tx.afterCommit(onReply);
  }

  async function releaseObjects(tx: NodeTransaction, row: MessageRow): Promise<void> {
    const runId = fromSqlInteger(row.run_id);
    await tx.query.deleteFrom("node_awaited").where("seq", "=", row.seq).execute();
    await nodeObjects.release(tx, runId, row.message_id);
    if (row.reply_id !== null) {
      await nodeObjects.release(tx, runId, row.reply_id);
    }
  }

  async function remove(tx: NodeTransaction, row: MessageRow): Promise<void> {
    await releaseObjects(tx, row);
    await tx.query.deleteFrom("node_message").where("seq", "=", row.seq).execute();
  }

  return { sweep, endToken, answerWithError, remove };
}

async function isIncomplete(tx: NodeTransaction, row: MessageRow): Promise<boolean> {
  const awaited = await tx.query
    .selectFrom("node_awaited")
    .select("seq")
    .where("seq", "=", row.seq)
    .limit(1)
    .executeTakeFirst();
  return awaited !== undefined;
}
