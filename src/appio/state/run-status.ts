/** The statuses of a run, in the order it goes through them. */
export const runStatuses = ["pending", "starting", "running", "finished"] as const;

/** One of {@link runStatuses}. */
export type RunStatusName = (typeof runStatuses)[number];

/** The sub-statuses of a finished run. */
export const endSubStatuses = ["completed", "failed", "stopped"] as const;

/** One of {@link endSubStatuses}. */
export type EndSubStatus = (typeof endSubStatuses)[number];

/** The instants from which a run's status is derived, null where it has not come so far. */
export interface RunInstants {
  readonly starting_at: number | null;
  readonly running_at: number | null;
  readonly finished_at: number | null;
}

/** Tells the status of a run from its instants. */
export function statusOf(run: RunInstants): RunStatusName {
  if (run.finished_at !== null) {
    return "finished";
  }
  if (run.running_at !== null) {
    return "running";
  }
  return run.starting_at !== null ? "starting" : "pending";
}

/** A status that can be asked for: one that exists, with a sub-status that belongs to it. */
export type StatusChange =
  | { readonly status: "starting" | "running" }
  | { readonly status: "finished"; readonly subStatus: EndSubStatus };

/**
 * Reads a requested status. The sub-status is checked against the status that
 * is asked for: a finished run has one, any other has none.
 *
 * @returns undefined if no run can ever change to it.
 */
export function parseStatusChange(status: string, subStatus: string): StatusChange | undefined {
  if (status === "finished") {
    const end = endSubStatuses.find((name) => name === subStatus);
    return end === undefined ? undefined : { status, subStatus: end };
  }
  if ((status === "starting" || status === "running") && subStatus === "") {
    return { status };
  }
  return undefined;
}
