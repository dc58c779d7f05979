import type { Generated } from "kysely";
import type { SqlUint64 } from "../../authority/sql-integer.ts";

/** Instants are kept in milliseconds since the epoch; null means that it has not happened. */
type Instant = number | null;

/** A counter; rows begin with 0 unless they say otherwise. */
type Counter = Generated<bigint>;

/** A run: what it executes, how far it got, what it used. */
export interface RunTable {
  /** Order of creation. */
  sequence: Generated<bigint>;
  run_id: SqlUint64;
  run_type: string;
  federation: string;
  fab_id: string;
  fab_version: string;
  fab_hash: string;
  /** A protobuf `Run` with nothing but `override_config`. */
  override_config: Uint8Array;
  /** A protobuf `ConfigRecord`. */
  federation_options: Uint8Array;
  pending_at: number;
  starting_at: Instant;
  running_at: Instant;
  finished_at: Instant;
  sub_status: Generated<string>;
  details: Generated<string>;
  bytes_sent: Counter;
  bytes_received: Counter;
  /** Seconds that ClientApps have worked for it. */
  clientapp_runtime: Generated<number>;
}

/** An app bundle. */
export interface FabTable {
  /** SHA-256 of the content, lower-case hexadecimal. */
  hash: string;
  content: Uint8Array;
}

/** The context of a run's ServerApp, a protobuf `Context`. */
export interface ContextTable {
  run_id: SqlUint64;
  context: Uint8Array;
}

/** What a run's apps have logged. */
export interface LogTable {
  sequence: Generated<bigint>;
  run_id: SqlUint64;
  /** Server time in seconds since the epoch; rises strictly within a run. */
  logged_at: number;
  text: string;
}

/** A SuperNode. Its status is derived from the instants. */
export interface NodeTable {
  node_id: SqlUint64;
  public_key: Uint8Array;
  registered_at: number;
  /** The node counts as online before this instant; null until it was online once. */
  online_until: Instant;
  /** Its latest heartbeat since it was last activated. */
  heartbeat_at: Instant;
  unregistered_at: Instant;
}

/** A message from a ServerApp to a node. */
export interface InstructionTable {
  /** Order of delivery. */
  sequence: Generated<bigint>;
  run_id: SqlUint64;
  message_id: string;
  dst_node_id: SqlUint64;
  /** `created_at + ttl`, in seconds since the epoch. */
  expires_at: number;
  delivered_at: Instant;
  /** A protobuf `Message` whose content is present and empty. */
  message: Uint8Array;
  /** A protobuf `ObjectTree`. */
  tree: Uint8Array;
}

/** The one answer to an instruction: a node's, or an error that stands for it. */
export interface ReplyTable {
  run_id: SqlUint64;
  /** The message that is answered; nothing needs to be known about it. */
  instruction_id: string;
  message_id: string;
  /** `created_at + ttl`, in seconds since the epoch. */
  expires_at: number;
  /** 1 if the SuperLink made it, because no node's will come; else 0. */
  is_error: bigint;
  message: Uint8Array;
  tree: Uint8Array;
}

/** An object that a run has announced. */
export interface RunObjectTable {
  run_id: SqlUint64;
  object_id: string;
  /** 1 if this run has pushed the bytes, else 0. */
  is_available: Generated<bigint>;
}

/** A parent and one of its children, as a run has announced them. */
export interface RunObjectChildTable {
  run_id: SqlUint64;
  parent_id: string;
  child_id: string;
}

/**
 * An object whose bytes are kept. Apart from the bytes, so that counting never
 * rewrites them.
 */
export interface ObjectTable {
  object_id: string;
  /** Number of runs to which it is available; at 0 the bytes go. */
  holders: Counter;
}

/** A piece of the bytes of an object, which are kept once however many runs have them. */
export interface ObjectContentTable {
  object_id: string;
  /** Where in the object the piece begins, in bytes. The next one begins where it ends. */
  start: bigint;
  piece: Uint8Array;
}

/** The tables of the AppIo state. */
export interface StateTables {
  run: RunTable;
  fab: FabTable;
  serverapp_context: ContextTable;
  run_log: LogTable;
  node: NodeTable;
  instruction: InstructionTable;
  reply: ReplyTable;
  run_object: RunObjectTable;
  run_object_child: RunObjectChildTable;
  object: ObjectTable;
  object_content: ObjectContentTable;
}
