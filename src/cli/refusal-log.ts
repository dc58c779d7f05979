import type { DecisionEvent } from "../guard/decisions.ts";
import type { QuietLog } from "./quiet-log.ts";

/**
 * Tells an operator of refusals, a line each; RPC, credential and reason make the kind of a line. The lines never
 * hold a secret: a guard's events have none.
 */
export function createRefusalLog(log: QuietLog): (event: DecisionEvent) => void {
  return ({ service, method, credential, reason, cause, suppressed }) => {
    const rpc = service === "" ? "an unknown RPC" : `${service}/${method}`;
    const proof = credential === undefined ? "" : `${credential} `;
    log(`refused ${rpc}: ${proof}${reason}`, { because: cause, suppressed });
  };
}
