import { createHash } from "node:crypto";
import { create, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { ContextSchema } from "../../../gen/flwr/proto/message_pb.ts";
import {
  type ConfigRecord,
  ConfigRecordSchema,
  RecordDictSchema,
} from "../../../gen/flwr/proto/recorddict_pb.ts";
import type { Scalar } from "../../../gen/flwr/proto/transport_pb.ts";
import { toSqlInteger } from "../../authority/sql-integer.ts";
import { superLinkNodeId } from "../objects/super-link-node-id.ts";
import type { StateCore } from "./core.ts";
import { randomId } from "./random-id.ts";
import { encodeOverrideConfig } from "./run-record.ts";
import { transact } from "./transact.ts";

/** The runs to create. */
export interface NewRuns {
  /** The app bundle: opaque bytes, at most {@link maxFabBytes}. */
  readonly fab: Uint8Array;
  /** How the bundle names itself, such as `publisher/app`. Default: empty. */
  readonly fabId?: string;
  /** The bundle's version. Default: empty. */
  readonly fabVersion?: string;
  /** Number of runs, 1 to {@link maxNewRuns}. Default: 1. */
  readonly count?: number;
  /** Kind of run. Default: `serverapp`. */
  readonly runType?: string;
  /** Configuration that overrides the bundle's own, per key. */
  readonly overrideConfig?: Readonly<Record<string, Scalar>>;
  /** Options for the simulation runtime. */
  readonly federationOptions?: ConfigRecord;
}

/** The largest app bundle, in bytes; Flower's limit. */
export const maxFabBytes = 10_485_760;

/** The most runs that one call creates. */
export const maxNewRuns = 1000;

/** The only federation there is: every node belongs to it. */
export const federation = "@none/default";

const runTypes: readonly string[] = ["serverapp", "simulation"];

/**
 * Creates pending runs of one app bundle, all or none.
 *
 * @returns Their ids, in order of creation.
 * @throws ConnectError InvalidArgument if the bundle is empty or too large, or
 * the count or the run type is out of range.
 */
export async function createRuns(core: StateCore, runs: NewRuns): Promise<bigint[]> {
  const { fab, count = 1, runType = "serverapp" } = runs;
  if (fab.length === 0 || fab.length > maxFabBytes) {
    throw invalid(`A FAB has 1 to ${maxFabBytes} bytes, not ${fab.length}.`);
  }
  if (!Number.isInteger(count) || count < 1 || count > maxNewRuns) {
    throw invalid(`The number of runs must be 1 to ${maxNewRuns}.`);
  }
  if (!runTypes.includes(runType)) {
    throw invalid(`The run type must be one of ${runTypes.join(", ")}.`);
  }
  const ids = Array.from({ length: count }, randomId);
  const hash = createHash("sha256").update(fab).digest("hex");
  const pendingAt = core.now();
  const options = runs.federationOptions ?? create(ConfigRecordSchema);
  const shared = {
    run_type: runType,
    federation,
    fab_id: runs.fabId ?? "",
    fab_version: runs.fabVersion ?? "",
    fab_hash: hash,
    override_config: encodeOverrideConfig(runs.overrideConfig ?? {}),
    federation_options: toBinary(ConfigRecordSchema, options),
    pending_at: pendingAt,
  };
  await transact(core, async (tx) => {
    await tx.query
      .insertInto("fab")
      .values({ hash, content: fab })
      .onConflict((conflict) => conflict.doNothing())
      .execute();
    for (const runId of ids) {
      const run_id = toSqlInteger(runId);
      await tx.query
        .insertInto("run")
        .values({ ...shared, run_id })
        .execute();
      await tx.query
        .insertInto("serverapp_context")
        .values({ run_id, context: initialContext(runId) })
        .execute();
    }
  });
  return ids;
}

function initialContext(runId: bigint): Uint8Array {
  const state = create(RecordDictSchema);
  return toBinary(ContextSchema, create(ContextSchema, { runId, nodeId: superLinkNodeId, state }));
}

function invalid(text: string): ConnectError {
  return new ConnectError(text, Code.InvalidArgument);
}
