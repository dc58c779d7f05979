import type { StateCore, StateTransaction } from "./core.ts";
import { finishRun } from "./run-end.ts";

/** Details of a run whose app stopped sending heartbeats; Flower's text. */
export const noHeartbeatDetails = "No heartbeat received from the run.";

/**
 * Finishes the runs whose tokens have expired: as failed, at the instant of
 * expiry, whenever that is noticed. A run that has finished stays as it is.
 */
export async function finishExpired(core: StateCore, tx: StateTransaction): Promise<void> {
  for (const { runId, expiredAt } of await core.authority.takeExpired(tx)) {
    await finishRun(core, tx, runId, {
      subStatus: "failed",
      details: noHeartbeatDetails,
      finishedAt: expiredAt,
    });
  }
}
