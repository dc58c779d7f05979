import { Code, ConnectError } from "@connectrpc/connect";
import { fromSqlInteger, toSqlInteger } from "../../authority/sql-integer.ts";
import type { StateCore } from "./core.ts";
import { randomId } from "./random-id.ts";

/** The SuperNodes. */
export interface Nodes {
  /**
   * Registers a node and returns its id. Asked again before the node was first
   * online it returns the same id: its first answer may have been lost. So the key
   * must be the caller's own.
   *
   * @throws ConnectError FailedPrecondition if the key's node has been online, or
   * has unregistered; InvalidArgument if the key is empty.
   */
  register(publicKey: Uint8Array): Promise<bigint>;
  /** Registers a node for a key, unless the key is or was a node's: for keys that the operator knows. */
  registerOnce(publicKey: Uint8Array): Promise<void>;
  /** Returns the id of the node that is registered for a key; undefined if there is none, or not any more. */
  idOf(publicKey: Uint8Array): Promise<bigint | undefined>;
  /**
   * Brings a registered or offline node online for two heartbeat intervals. One
   * that is online and has sent no heartbeat since its activation is activated
   * again: its first answer may have been lost.
   *
   * @throws ConnectError InvalidArgument if the interval (in seconds) is out of
   * range, FailedPrecondition if no node has the key, or it is online and has
   * sent a heartbeat.
   */
  activate(publicKey: Uint8Array, heartbeatIntervalSeconds: number): Promise<bigint>;
  /**
   * Takes an online node offline.
   *
   * @throws ConnectError FailedPrecondition if it is not online.
   */
  deactivate(nodeId: bigint): Promise<void>;
  /**
   * Removes a node for good; its key cannot be registered again.
   *
   * @throws ConnectError FailedPrecondition if it is unknown.
   */
  unregister(nodeId: bigint): Promise<void>;
  /**
   * Keeps a node online for two heartbeat intervals from now.
   *
   * @returns false if the node is unknown.
   * @throws ConnectError InvalidArgument if the interval is out of range.
   */
  heartbeat(nodeId: bigint, heartbeatIntervalSeconds: number): Promise<boolean>;
  /** Returns the ids of the nodes that are online. Every node belongs to every run's federation. */
  listOnline(): Promise<bigint[]>;
}

/** Range of heartbeat intervals, in seconds; Flower's limits. */
const minIntervalSeconds = 10;
const maxIntervalSeconds = 1800;

/** A node stays online for this many of its heartbeat intervals. */
const heartbeatPatience = 2;

/** Creates the part of the state that keeps nodes. */
export function createNodeState(core: StateCore): Nodes {
  const { query } = core.database;
  const onlineUntil = (intervalSeconds: number): number => {
    // Written so that NaN is refused as well.
    if (!(intervalSeconds >= minIntervalSeconds && intervalSeconds <= maxIntervalSeconds)) {
      throw new ConnectError("Invalid heartbeat interval", Code.InvalidArgument);
    }
    return core.now() + heartbeatPatience * intervalSeconds * 1000;
  };
  /** Adds a node; undefined if its key is or was another node's. */
  const insert = async (publicKey: Uint8Array): Promise<bigint | undefined> => {
    if (publicKey.length === 0) {
      throw new ConnectError("A public key must not be empty.", Code.InvalidArgument);
    }
    const nodeId = randomId();
    const { numInsertedOrUpdatedRows } = await query
      .insertInto("node")
      .values({
        node_id: toSqlInteger(nodeId),
        public_key: publicKey,
        registered_at: core.now(),
      })
      .onConflict((conflict) => conflict.column("public_key").doNothing())
      .executeTakeFirstOrThrow();
    return numInsertedOrUpdatedRows === 0n ? undefined : nodeId;
  };
  return {
    async register(publicKey) {
      const nodeId = await insert(publicKey);
      if (nodeId !== undefined) {
        return nodeId;
      }
      const registered = await query
        .selectFrom("node")
        .select("node_id")
        .where("public_key", "=", publicKey)
        .where("unregistered_at", "is", null)
        .where("online_until", "is", null)
        .executeTakeFirst();
      if (registered === undefined) {
        throw precondition("Public key is already in use.");
      }
      return fromSqlInteger(registered.node_id);
    },
    async registerOnce(publicKey) {
      await insert(publicKey);
    },
    async idOf(publicKey) {
      const node = await query
        .selectFrom("node")
        .select("node_id")
        .where("public_key", "=", publicKey)
        .where("unregistered_at", "is", null)
        .executeTakeFirst();
      return node && fromSqlInteger(node.node_id);
    },
    async activate(publicKey, heartbeatIntervalSeconds) {
      const online_until = onlineUntil(heartbeatIntervalSeconds);
      const node = await query
        .updateTable("node")
        .set({ online_until, heartbeat_at: null })
        .where("public_key", "=", publicKey)
        .where("unregistered_at", "is", null)
        .where(({ eb, or }) =>
          or([
            eb("online_until", "is", null),
            eb("online_until", "<=", core.now()),
            eb("heartbeat_at", "is", null),
          ]),
        )
        .returning("node_id")
        .executeTakeFirst();
      if (node === undefined) {
        throw precondition("No node that could be activated has this public key.");
      }
      return fromSqlInteger(node.node_id);
    },
    async deactivate(nodeId) {
      const now = core.now();
      const { numUpdatedRows } = await query
        .updateTable("node")
        .set({ online_until: now })
        .where("node_id", "=", toSqlInteger(nodeId))
        .where("unregistered_at", "is", null)
        .where("online_until", ">", now)
        .executeTakeFirstOrThrow();
      if (numUpdatedRows === 0n) {
        throw precondition(`Node ${nodeId} is not online.`);
      }
    },
    async unregister(nodeId) {
      const { numUpdatedRows } = await query
        .updateTable("node")
        .set({ unregistered_at: core.now() })
        .where("node_id", "=", toSqlInteger(nodeId))
        .where("unregistered_at", "is", null)
        .executeTakeFirstOrThrow();
      if (numUpdatedRows === 0n) {
        throw precondition(`Node ${nodeId} is not registered.`);
      }
    },
    async heartbeat(nodeId, heartbeatIntervalSeconds) {
      const { numUpdatedRows } = await query
        .updateTable("node")
        .set({ online_until: onlineUntil(heartbeatIntervalSeconds), heartbeat_at: core.now() })
        .where("node_id", "=", toSqlInteger(nodeId))
        .where("unregistered_at", "is", null)
        .executeTakeFirstOrThrow();
      return numUpdatedRows > 0n;
    },
    async listOnline() {
      const rows = await query
        .selectFrom("node")
        .select("node_id")
        .where("unregistered_at", "is", null)
        .where("online_until", ">", core.now())
        .execute();
      return rows.map(({ node_id }) => fromSqlInteger(node_id));
    },
  };
}

function precondition(text: string): ConnectError {
  return new ConnectError(text, Code.FailedPrecondition);
}
