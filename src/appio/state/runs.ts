import { fromBinary } from "@bufbuild/protobuf";
import type { Selectable } from "kysely";
import { type ConfigRecord, ConfigRecordSchema } from "../../../gen/flwr/proto/recorddict_pb.ts";
import type { Run } from "../../../gen/flwr/proto/run_pb.ts";
import { fromSqlInteger, toSqlInteger } from "../../authority/sql-integer.ts";
import type { Token } from "../../policy/token.ts";
import { batches } from "./batches.ts";
import type { StateCore } from "./core.ts";
import { assertRunning } from "./liveness.ts";
import { createRuns, type NewRuns } from "./new-runs.ts";
import { claimRun, type RequestedStatus, stopRun, updateStatus } from "./run-changes.ts";
import { toRun } from "./run-record.ts";
import type { RunTable } from "./tables.ts";
import { applyExpiry, transact } from "./transact.ts";

/** Object bytes that went between a SuperLink and a run's nodes. */
export interface Traffic {
  /** From the SuperLink. Default: 0. */
  readonly bytesSent?: number;
  /** To the SuperLink. Default: 0. */
  readonly bytesReceived?: number;
}

/** The runs and their statuses. */
export interface Runs {
  /**
   * Creates pending runs of one app bundle, all or none, and returns their ids.
   *
   * @throws ConnectError InvalidArgument if a value is out of range.
   */
  create(runs: NewRuns): Promise<bigint[]>;
  /** Returns a run, or undefined if it is unknown. */
  find(runId: bigint): Promise<Run | undefined>;
  /** Returns the runs of these ids, or all of them when none is named; newest first. */
  list(runIds?: readonly bigint[]): Promise<Run[]>;
  /**
   * Returns the ids of the runs that {@link Runs.claim} would grant, oldest
   * first; with `runTypes`, of those types only.
   */
  listClaimable(runTypes?: readonly string[]): Promise<bigint[]>;
  /**
   * Claims a pending run for the caller: moves it to starting and issues its
   * token, both or neither. Undefined for every other run, unknown ones included.
   */
  claim(runId: bigint): Promise<Token | undefined>;
  /**
   * Moves a run to another status. To finish it takes its token, messages and
   * objects along, all or nothing.
   *
   * @throws ConnectError PermissionDenied `Run is finished.`, FailedPrecondition
   * when the change is not allowed, NotFound when the run is unknown.
   */
  updateStatus(runId: bigint, requested: RequestedStatus): Promise<void>;
  /**
   * Finishes a run as stopped.
   *
   * @returns Whether this call did; false when it had already finished.
   * @throws ConnectError NotFound when the run is unknown.
   */
  stop(runId: bigint): Promise<boolean>;
  /**
   * Checks that a run is running.
   *
   * @throws ConnectError PermissionDenied with Flower's text for the status, or
   * NotFound when the run is unknown.
   */
  assertRunning(runId: bigint): Promise<void>;
  /** Adds what a running run's nodes have moved, in bytes; nothing for any other run. */
  addTraffic(runId: bigint, traffic: Traffic): Promise<void>;
  /** Returns the options for the simulation runtime, or undefined if the run is unknown. */
  federationOptions(runId: bigint): Promise<ConfigRecord | undefined>;
}

/** Creates the part of the state that keeps runs. */
export function createRunState(core: StateCore): Runs {
  return {
    create: (runs) => createRuns(core, runs),
    async find(runId) {
      await applyExpiry(core);
      const row = await core.database.query
        .selectFrom("run")
        .selectAll()
        .where("run_id", "=", toSqlInteger(runId))
        .executeTakeFirst();
      return row === undefined ? undefined : toRun(row);
    },
    async list(runIds = []) {
      await applyExpiry(core);
      const query = core.database.query.selectFrom("run").selectAll();
      if (runIds.length === 0) {
        return (await query.orderBy("sequence", "desc").execute()).map(toRun);
      }
      const found: Selectable<RunTable>[] = [];
      for (const batch of batches([...new Set(runIds)])) {
        found.push(...(await query.where("run_id", "in", batch.map(toSqlInteger)).execute()));
      }
      return found.toSorted((a, b) => Number(b.sequence - a.sequence)).map(toRun);
    },
    async listClaimable(runTypes) {
      await applyExpiry(core);
      const claimable = core.database.query
        .selectFrom("run")
        .select("run_id")
        .where("starting_at", "is", null)
        .where("finished_at", "is", null)
        .orderBy("sequence");
      const rows = await (runTypes === undefined
        ? claimable
        : claimable.where("run_type", "in", runTypes)
      ).execute();
      return rows.map(({ run_id }) => fromSqlInteger(run_id));
    },
    claim: (runId) => transact(core, (tx) => claimRun(core, tx, runId)),
    updateStatus: (runId, requested) =>
      transact(core, (tx) => updateStatus(core, tx, runId, requested)),
    stop: (runId) => transact(core, (tx) => stopRun(core, tx, runId)),
    assertRunning: (runId) => assertRunning(core, runId),
    addTraffic: (runId, { bytesSent = 0, bytesReceived = 0 }) =>
      transact(core, async (tx) => {
        await tx.query
          .updateTable("run")
          .set(({ eb }) => ({
            bytes_sent: eb("bytes_sent", "+", BigInt(bytesSent)),
            bytes_received: eb("bytes_received", "+", BigInt(bytesReceived)),
          }))
          .where("run_id", "=", toSqlInteger(runId))
          .where("running_at", "is not", null)
          .where("finished_at", "is", null)
          .execute();
      }),
    async federationOptions(runId) {
      const row = await core.database.query
        .selectFrom("run")
        .select("federation_options")
        .where("run_id", "=", toSqlInteger(runId))
        .executeTakeFirst();
      return row === undefined ? undefined : fromBinary(ConfigRecordSchema, row.federation_options);
    },
  };
}
