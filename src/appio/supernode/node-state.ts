import { type AnySqlDatabase, type Authority, migrate } from "../../authority/index.ts";
import { createNodeApps, type NodeApps } from "./node-apps.ts";
import { createNodeInbox, type NodeInbox } from "./node-inbox.ts";
import { createNodeLifetime } from "./node-lifetime.ts";
import { createNodeRuns, type NodeRuns } from "./node-runs.ts";
import { type NodeTables, nodeSchema } from "./node-tables.ts";

/**
 * What a node knows (contract 6.5): runs, messages, replies, objects and who works on them. One half faces the
 * SuperLink, the other the node's ClientApps; both know the runs.
 */
export interface NodeState {
  readonly inbox: NodeInbox;
  readonly apps: NodeApps;
  readonly runs: NodeRuns;
}

/** How much the bundles of all runs take at least before a node drops any, in bytes. One has 10 MiB at most. */
export const defaultMaxBundleBytes = 64 * 1024 * 1024;

/** Options of {@link createNodeState}. */
export interface NodeStateOptions {
  /** Where the state is kept, in tables of its own; `:memory:` on a node, whose state ends with it. */
  readonly database: AnySqlDatabase;
  /** Issues the tokens of the node's ClientApps; on the same database, so that a token and what follows from it are one. */
  readonly authority: Authority;
  /** The clock, in milliseconds since the epoch. Default: `Date.now`. */
  readonly now?: () => number;
  /** Told when some reply may be ready to be forwarded. Default: nobody. */
  readonly onReply?: () => void;
  /** Bytes that bundles may take before those of runs without work are dropped. Default: {@link defaultMaxBundleBytes}. */
  readonly maxBundleBytes?: number;
}

/**
 * Creates the tables if they are not there, and returns the state.
 *
 * Differences to Flower's (design section 6): a ClientApp takes one message, and no other is marked as taken; a message
 * whose ClientApp ends before it takes it is launched again at most 3 times; a message whose ClientApp ends after that
 * without a complete reply is answered with error code 8; a reply is forwarded only when all of its objects are here.
 */
export async function createNodeState(options: NodeStateOptions): Promise<NodeState> {
  const { authority, now = Date.now, onReply = () => {} } = options;
  await migrate(options.database, nodeSchema);
  const database = options.database.withTables<NodeTables>();
  const { maxBundleBytes = defaultMaxBundleBytes } = options;
  const lifetime = createNodeLifetime({ authority, now, onReply });
  return {
    inbox: createNodeInbox({ database, lifetime, now }),
    apps: createNodeApps({ database, authority, lifetime, now, onReply }),
    runs: createNodeRuns({ database, authority, lifetime, now, maxBundleBytes }),
  };
}
