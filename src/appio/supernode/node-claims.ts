import {
  type Authority,
  fromSqlInteger,
  type SqlDatabase,
  toSqlInteger,
} from "../../authority/index.ts";
import { digestToken, type Token } from "../../policy/token.ts";
import { type NodeCaller, NodeRefusal } from "./node-caller.ts";
import type { NodeLifetime } from "./node-lifetime.ts";
import type { NodeTables, NodeTransaction } from "./node-tables.ts";

/** Who works for a run on this node: at most one ClientApp, for as long as its token lives. */
export interface NodeClaims {
  /** The runs that {@link NodeClaims.claim} would grant a token for, the one that waits longest first. */
  pendingRuns(): Promise<bigint[]>;
  /** Issues a token for a run with a waiting message and no live token; otherwise undefined. */
  claim(runId: bigint): Promise<Token | undefined>;
  /**
   * Runs what a caller reads or changes while its token is live in that very transaction, not only when the call arrived.
   *
   * @throws NodeRefusal "token ended"
   */
  whileLive<T>(caller: NodeCaller, work: (tx: NodeTransaction) => Promise<T>): Promise<T>;
}

/** What {@link createNodeClaims} works on. */
export interface NodeClaimsOptions {
  readonly database: SqlDatabase<NodeTables>;
  readonly authority: Authority;
  readonly lifetime: NodeLifetime;
}

/** Creates {@link NodeClaims}. */
export function createNodeClaims({ database, authority, lifetime }: NodeClaimsOptions): NodeClaims {
  return {
    async pendingRuns() {
      return database.transaction(async (tx) => {
        await lifetime.sweep(tx);
        const rows = await tx.query
          .selectFrom("node_message")
          .select(({ fn }) => ["run_id", fn.min("seq").as("oldest")])
          .where("phase", "=", "waiting")
          .where("run_id", "not in", ({ selectFrom }) =>
            selectFrom("node_claim").select("node_claim.run_id"),
          )
          .groupBy("run_id")
          .orderBy("oldest")
          .execute();
        return rows.map(({ run_id }) => fromSqlInteger(run_id));
      });
    },

    async claim(runId) {
      const id = toSqlInteger(runId);
      return database.transaction(async (tx) => {
        await lifetime.sweep(tx);
        const launched = await tx.query
          .updateTable("node_message")
          .set(({ eb }) => ({ launches: eb("launches", "+", 1n) }))
          .where("seq", "=", ({ selectFrom, fn }) =>
            selectFrom("node_message")
              .select(fn.min("seq").as("seq"))
              .where("run_id", "=", id)
              .where("phase", "=", "waiting"),
          )
          .where(({ not, exists, selectFrom }) =>
            not(exists(selectFrom("node_claim").select("run_id").where("run_id", "=", id))),
          )
          .returning("seq")
          .executeTakeFirst();
        if (launched === undefined) {
          return undefined;
        }
        const token = await authority.issue(runId, tx);
        if (token === undefined) {
          throw new Error("A run without a claim has a live token.");
        }
        await tx.query
          .insertInto("node_claim")
          .values({ run_id: id, token_digest: digestToken(token) })
          .execute();
        return token;
      });
    },

    whileLive: (caller, work) =>
      database.transaction(async (tx) => {
        await lifetime.sweep(tx);
        const held = await tx.query
          .selectFrom("node_claim")
          .select("run_id")
          .where("run_id", "=", toSqlInteger(caller.runId))
          .where("token_digest", "=", caller.tokenDigest)
          .executeTakeFirst();
        if (held === undefined) {
          throw new NodeRefusal("token ended", "The token has ended.");
        }
        return work(tx);
      }),
  };
}
