import { fromBinary } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { type ConfigRecord, ConfigRecordSchema } from "../../../gen/flwr/proto/recorddict_pb.ts";
import type { Run } from "../../../gen/flwr/proto/run_pb.ts";
import { fromSqlInteger, toSqlInteger } from "../../authority/sql-integer.ts";
import type { Token } from "../../policy/token.ts";
import type { StateCore, StateTransaction } from "./core.ts";
import { assertRunning, notRunning } from "./liveness.ts";
import { createRuns, type NewRuns } from "./new-runs.ts";
import { finishRun } from "./run-end.ts";
import { toRun } from "./run-record.ts";
import { parseStatusChange, type StatusChange, statusOf } from "./run-status.ts";
import { applyExpiry, transact } from "./transact.ts";

/** A status as an app asks for it. */
export interface RequestedStatus {
  readonly status: string;
  readonly subStatus: string;
  readonly details: string;
}

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
  /** Returns the ids of the runs that {@link Runs.claim} would grant, oldest first. */
  listClaimable(): Promise<bigint[]>;
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
      let query = core.database.query.selectFrom("run").selectAll().orderBy("sequence", "desc");
      if (runIds.length > 0) {
        query = query.where("run_id", "in", runIds.map(toSqlInteger));
      }
      return (await query.execute()).map(toRun);
    },
    async listClaimable() {
      await applyExpiry(core);
      const rows = await core.database.query
        .selectFrom("run")
        .select("run_id")
        .where("starting_at", "is", null)
        .where("finished_at", "is", null)
        .orderBy("sequence")
        .execute();
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

async function claimRun(
  core: StateCore,
  tx: StateTransaction,
  runId: bigint,
): Promise<Token | undefined> {
  if (!(await moveForward(core, tx, runId, "starting"))) {
    return undefined;
  }
  const token = await core.authority.issue(runId, tx);
  if (token === undefined) {
    // Only code that issues a token behind the state's back can lead here.
    throw new ConnectError(`Run ${runId} has a token although it is pending.`, Code.Internal);
  }
  return token;
}

/** Moves a run one status ahead, and tells whether it was there to be moved. */
async function moveForward(
  core: StateCore,
  tx: StateTransaction,
  runId: bigint,
  status: "starting" | "running",
): Promise<boolean> {
  const run = tx.query
    .updateTable("run")
    .where("run_id", "=", toSqlInteger(runId))
    .where("finished_at", "is", null)
    .where("running_at", "is", null);
  const { numUpdatedRows } = await (status === "starting"
    ? run.where("starting_at", "is", null).set({ starting_at: core.now() })
    : run.where("starting_at", "is not", null).set({ running_at: core.now() })
  ).executeTakeFirstOrThrow();
  return numUpdatedRows > 0n;
}

async function updateStatus(
  core: StateCore,
  tx: StateTransaction,
  runId: bigint,
  requested: RequestedStatus,
): Promise<void> {
  const change = parseStatusChange(requested.status, requested.subStatus);
  if (change !== undefined && (await makeChange(core, tx, runId, change, requested.details))) {
    return;
  }
  const run = await tx.query
    .selectFrom("run")
    .select(["starting_at", "running_at", "finished_at"])
    .where("run_id", "=", toSqlInteger(runId))
    .executeTakeFirst();
  if (run === undefined || run.finished_at !== null) {
    throw await notRunning(tx, runId);
  }
  const from = statusOf(run);
  const to = [requested.status, requested.subStatus].filter((part) => part !== "").join("/");
  throw new ConnectError(
    `Run ${runId} cannot change from ${from} to ${JSON.stringify(to)}.`,
    Code.FailedPrecondition,
  );
}

function makeChange(
  core: StateCore,
  tx: StateTransaction,
  runId: bigint,
  change: StatusChange,
  details: string,
): Promise<boolean> {
  return change.status === "finished"
    ? finishRun(core, tx, runId, { subStatus: change.subStatus, details, finishedAt: core.now() })
    : moveForward(core, tx, runId, change.status);
}

async function stopRun(core: StateCore, tx: StateTransaction, runId: bigint): Promise<boolean> {
  const end = { subStatus: "stopped", details: "", finishedAt: core.now() } as const;
  if (await finishRun(core, tx, runId, end)) {
    return true;
  }
  const run = await tx.query
    .selectFrom("run")
    .select("run_id")
    .where("run_id", "=", toSqlInteger(runId))
    .executeTakeFirst();
  if (run === undefined) {
    throw new ConnectError(`Run ${runId} not found.`, Code.NotFound);
  }
  return false;
}
