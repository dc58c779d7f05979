import type { StateCore, StateTransaction } from "./core.ts";
import { finishExpired } from "./expiry.ts";

/**
 * Runs `work` in a transaction in which no run lives on an expired token: the
 * runs whose tokens have expired by now are finished first. A rejected `work`
 * rolls that back too, which loses nothing: the next transaction does it again,
 * with the same instants.
 */
export function transact<T>(
  core: StateCore,
  work: (tx: StateTransaction) => Promise<T>,
): Promise<T> {
  return core.database.transaction(async (tx) => {
    await finishExpired(core, tx);
    return work(tx);
  });
}

/** Finishes the runs whose tokens have expired by now; call it before a read outside a transaction. */
export function applyExpiry(core: StateCore): Promise<void> {
  return transact(core, async () => {});
}
