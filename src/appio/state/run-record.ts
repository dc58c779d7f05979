import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import type { Selectable } from "kysely";
import { type Run, RunSchema } from "../../../gen/flwr/proto/run_pb.ts";
import type { Scalar } from "../../../gen/flwr/proto/transport_pb.ts";
import { fromSqlInteger } from "../../authority/sql-integer.ts";
import { isoTime } from "./iso-time.ts";
import { statusOf } from "./run-status.ts";
import type { RunTable } from "./tables.ts";

/** Turns a stored run into the message that describes it. */
export function toRun(row: Selectable<RunTable>): Run {
  return create(RunSchema, {
    runId: fromSqlInteger(row.run_id),
    runType: row.run_type,
    federation: row.federation,
    fabId: row.fab_id,
    fabVersion: row.fab_version,
    fabHash: row.fab_hash,
    overrideConfig: fromBinary(RunSchema, row.override_config).overrideConfig,
    pendingAt: isoTime(row.pending_at),
    startingAt: isoTime(row.starting_at),
    runningAt: isoTime(row.running_at),
    finishedAt: isoTime(row.finished_at),
    status: { status: statusOf(row), subStatus: row.sub_status, details: row.details },
    bytesSent: row.bytes_sent,
    bytesRecv: row.bytes_received,
    clientappRuntime: row.clientapp_runtime,
  });
}

/** Encodes a run's configuration for its row; {@link toRun} decodes it. */
export function encodeOverrideConfig(config: Readonly<Record<string, Scalar>>): Uint8Array {
  return toBinary(RunSchema, create(RunSchema, { overrideConfig: config }));
}
