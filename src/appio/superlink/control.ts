import { setTimeout as delay } from "node:timers/promises";
import { create } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import {
  type ConfigRecord,
  ConfigRecord_ItemSchema,
  ConfigRecordSchema,
} from "../../../gen/flwr/proto/recorddict_pb.ts";
import type { Scalar } from "../../../gen/flwr/proto/transport_pb.ts";
import type { DecisionCount } from "../../guard/decisions.ts";
import { service } from "../../guard/service.ts";
import { controlPolicy } from "../policy.ts";
import type { LinkState } from "../state/link-state.ts";
import { maxFabBytes } from "../state/new-runs.ts";
import type { Refusals } from "./refusals.ts";

/** What the operator's API needs besides the state. */
export interface ControlOptions {
  /** Returns how many calls of each RPC were allowed and refused, over all services. */
  readonly counters: () => readonly DecisionCount[];
  /** Returns why calls were refused, over all services, the latest first. Default: not known. */
  readonly refusals?: () => readonly Refusals[];
  /** How often a followed log is looked at, in milliseconds. Default: 500. */
  readonly logPollMs?: number;
  /** Ends followed logs when aborted: they would keep a server from closing. */
  readonly shutdownSignal?: AbortSignal;
}

/** Room for a run's configuration beside its bundle, in bytes. */
const maxConfigBytes = 1024 * 1024;

/** Control on a SuperLink's state: the API of the operator. */
export function controlService(state: LinkState, options: ControlOptions) {
  const { counters, refusals = () => [], logPollMs = 500, shutdownSignal } = options;
  const { runs, logs } = state;
  const pause = async (signal: AbortSignal): Promise<void> => {
    const ends = shutdownSignal === undefined ? signal : AbortSignal.any([signal, shutdownSignal]);
    try {
      await delay(logPollMs, undefined, { signal: ends });
    } catch {
      throw new ConnectError("The log is no longer followed.", Code.Unavailable);
    }
  };
  return service(
    controlPolicy,
    {
      async startRuns({ fab, fabId, fabVersion, overrideConfig, count, runType, ...more }) {
        const runIds = await runs.create({
          fab,
          fabId,
          fabVersion,
          overrideConfig,
          count: count === 0 ? 1 : count,
          runType: runType === "" ? "serverapp" : runType,
          federationOptions: toConfigRecord(more.federationOptions),
        });
        return { runIds };
      },
      async listRuns({ runIds }) {
        return { runs: await runs.list(runIds) };
      },
      async stopRun({ runId }) {
        return { stopped: await runs.stop(runId) };
      },
      async *streamLogs({ runId, afterTimestamp, follow }, { signal }) {
        for (let after = afterTimestamp; ; ) {
          // The status is read before the log, so a finished run's log is whole.
          const run = await runs.find(runId);
          if (run === undefined) {
            throw new ConnectError(`Run ${runId} not found.`, Code.NotFound);
          }
          const page = await logs.after(runId, after);
          if (page.text !== "") {
            yield { logOutput: page.text, latestTimestamp: page.latestTimestamp };
            after = page.latestTimestamp;
          } else if (!follow || run.status?.status === "finished") {
            return;
          } else {
            await pause(signal);
          }
        }
      },
      getDecisions() {
        return {
          counters: counters().map(({ service, method, allowed, refused, unavailable }) => ({
            service,
            method,
            allowed: BigInt(allowed),
            refused: BigInt(refused),
            unavailable: BigInt(unavailable),
          })),
          refusals: refusals().map(({ count, lastAt, ...kind }) => ({
            ...kind,
            count: BigInt(count),
            lastAt: new Date(lastAt).toISOString(),
          })),
        };
      },
    },
    { readMaxBytes: { startRuns: maxFabBytes + maxConfigBytes } },
  );
}

function toConfigRecord(options: Readonly<Record<string, Scalar>>): ConfigRecord {
  return create(ConfigRecordSchema, {
    items: Object.entries(options).map(([key, { scalar }]) => {
      if (scalar.case === undefined) {
        throw new ConnectError(`Federation option ${key} has no value.`, Code.InvalidArgument);
      }
      return create(ConfigRecord_ItemSchema, { key, value: { value: scalar } });
    }),
  });
}
