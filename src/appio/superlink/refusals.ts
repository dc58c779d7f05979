import type { DecisionEvent } from "../../guard/decisions.ts";

/** Refusals that are alike. */
export interface Refusals {
  /** Full name of the service; empty for an unknown RPC. */
  readonly service: string;
  /** Name of the RPC; empty for an unknown one, whose path the caller has made up. */
  readonly method: string;
  /** Name of the credential that was missing or refused; empty where it is not known. */
  readonly credential: string;
  /** Why. */
  readonly reason: string;
  readonly count: number;
  /** When the last of them was, in milliseconds since the epoch. */
  readonly lastAt: number;
}

/** Refusals of a guard by their reason; see {@link createRefusalTally}. */
export interface RefusalTally {
  /** Takes one event of a guard's `onDecision`. */
  add(event: DecisionEvent): void;
  /** Returns what there was, the latest first. */
  list(): readonly Refusals[];
}

/** How many kinds of refusals are told apart. Of more, those that have not come for the longest time are forgotten. */
const maxKinds = 1_000;

/** Makes a {@link RefusalTally}. @param now milliseconds since the epoch */
export function createRefusalTally(now: () => number): RefusalTally {
  /** The latest is the last. */
  const kinds = new Map<string, Refusals>();
  return {
    add({ service, method: named, credential = "", reason }) {
      const method = service === "" ? "" : named;
      const kind = JSON.stringify([service, method, credential, reason]);
      const count = (kinds.get(kind)?.count ?? 0) + 1;
      kinds.delete(kind);
      kinds.set(kind, { service, method, credential, reason, count, lastAt: now() });
      for (const oldest of kinds.keys()) {
        if (kinds.size <= maxKinds) break;
        kinds.delete(oldest);
      }
    },
    list: () => Array.from(kinds.values()).reverse(),
  };
}
