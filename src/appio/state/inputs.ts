import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import type { Kysely } from "kysely";
import { type Fab, FabSchema } from "../../../gen/flwr/proto/fab_pb.ts";
import type { SimulationConfig } from "../../../gen/flwr/proto/federation_config_pb.ts";
import { type Context, ContextSchema } from "../../../gen/flwr/proto/message_pb.ts";
import { ConfigRecordSchema } from "../../../gen/flwr/proto/recorddict_pb.ts";
import type { Run } from "../../../gen/flwr/proto/run_pb.ts";
import { type SqlUint64, toSqlInteger } from "../../authority/sql-integer.ts";
import { ConfigRecord } from "../objects/config-record.ts";
import type { StateCore, StateTransaction } from "./core.ts";
import { pieceColumns, readLargeBytes } from "./large-bytes.ts";
import { notRunning, runningRun } from "./liveness.ts";
import { toRun } from "./run-record.ts";
import { simulationConfigOf } from "./simulation-config.ts";
import type { StateTables } from "./tables.ts";
import { transact } from "./transact.ts";

/** What a ServerApp starts from. */
export interface AppInputs {
  readonly context: Context;
  readonly run: Run;
  readonly fab: Fab;
  /** How the run is simulated; for a simulation only. */
  readonly federationConfig?: SimulationConfig;
}

/** What goes into a run's ServerApp and what comes out of it. */
export interface Inputs {
  /**
   * Moves a run from starting to running and returns its inputs. Only one call
   * ever succeeds for a run.
   *
   * @throws ConnectError FailedPrecondition `Failed to start run <id>` when the
   * run is not starting, or its context or its FAB is missing.
   */
  start(runId: bigint): Promise<AppInputs>;
  /**
   * Keeps the context of a running run's ServerApp.
   *
   * @throws ConnectError as for any run that is not running.
   */
  saveContext(runId: bigint, context: Context): Promise<void>;
  /** Returns the context of a run's ServerApp, or undefined if the run is unknown. */
  findContext(runId: bigint): Promise<Context | undefined>;
  /** Returns a FAB by its hash, or undefined if it is unknown. */
  findFab(hash: string): Promise<Fab | undefined>;
}

/** Creates the part of the state that keeps contexts and FABs. */
export function createInputState(core: StateCore): Inputs {
  return {
    start: (runId) => transact(core, (tx) => startRun(core, tx, runId)),
    saveContext: (runId, context) =>
      transact(core, async (tx) => {
        const id = toSqlInteger(runId);
        const { numUpdatedRows } = await tx.query
          .updateTable("serverapp_context")
          .set({ context: toBinary(ContextSchema, context) })
          .where("run_id", "=", id)
          .where(({ exists }) => exists(runningRun(tx.query, id).select("run.run_id")))
          .executeTakeFirstOrThrow();
        if (numUpdatedRows === 0n) {
          throw await notRunning(tx, runId);
        }
      }),
    async findContext(runId) {
      return readContext(core, core.database.query, toSqlInteger(runId));
    },
    async findFab(hash) {
      const row = await core.database.query
        .selectFrom("fab")
        .selectAll()
        .where("hash", "=", hash)
        .executeTakeFirst();
      return row === undefined ? undefined : toFab(row);
    },
  };
}

async function startRun(core: StateCore, tx: StateTransaction, runId: bigint): Promise<AppInputs> {
  const id = toSqlInteger(runId);
  const run = await tx.query
    .updateTable("run")
    .set({ running_at: core.now() })
    .where("run_id", "=", id)
    .where("starting_at", "is not", null)
    .where("running_at", "is", null)
    .where("finished_at", "is", null)
    .returningAll()
    .executeTakeFirst();
  const fab = await tx.query
    .selectFrom("fab")
    .selectAll()
    .where("hash", "=", run?.fab_hash ?? "")
    .executeTakeFirst();
  const context = run && (await readContext(core, tx.query, id));
  if (run === undefined || fab === undefined || context === undefined) {
    throw new ConnectError(`Failed to start run ${runId}`, Code.FailedPrecondition);
  }
  const inputs = { context, run: toRun(run), fab: toFab(fab) };
  if (run.run_type !== "simulation") {
    return inputs;
  }
  const options = fromBinary(ConfigRecordSchema, run.federation_options);
  const federationConfig = simulationConfigOf(ConfigRecord.fromProto(options));
  return { ...inputs, federationConfig };
}

async function readContext(
  core: StateCore,
  query: Kysely<StateTables>,
  runId: SqlUint64,
): Promise<Context | undefined> {
  const bytes = await readLargeBytes((from) =>
    query
      .selectFrom("serverapp_context")
      .select(pieceColumns(core.database.engine, "context", from))
      .where("run_id", "=", runId)
      .executeTakeFirst(),
  );
  return bytes ? fromBinary(ContextSchema, bytes) : undefined;
}

function toFab({ hash, content }: { hash: string; content: Uint8Array }): Fab {
  return create(FabSchema, { hashStr: hash, content });
}
