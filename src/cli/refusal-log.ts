import type { DecisionEvent } from "../guard/decisions.ts";
import { printableText } from "./output.ts";

/** How long refusals of one kind are only counted once one was told, in milliseconds. */
const quietMs = 10_000;

/** How many kinds are told apart; more share one. */
const maxKinds = 200;

interface Told {
  readonly at: number;
  /** Refusals of the kind that were not told. */
  more: number;
}

/**
 * Tells an operator of refusals, a line each on stderr: of one kind (RPC, credential and reason) at most one in 10 s,
 * with the number of those before it that were not told. Who is refused can therefore not fill a disk. The lines never
 * hold a secret: a guard's events have none.
 *
 * @param write receives each line with its end
 * @param now milliseconds since the epoch
 */
export function createRefusalLog(
  write: (line: string) => unknown = (line) => process.stderr.write(line),
  now: () => number = Date.now,
): (event: DecisionEvent) => void {
  const told = new Map<string, Told>();
  return ({ service, method, credential, reason, cause, suppressed }) => {
    const rpc = service === "" ? "an unknown RPC" : `${service}/${method}`;
    const line = `refused ${rpc}: ${credential === undefined ? "" : `${credential} `}${reason}`;
    const kind = told.has(line) || told.size < maxKinds ? line : "others";
    const last = told.get(kind);
    if (last !== undefined && now() - last.at < quietMs) {
      last.more += 1 + suppressed;
      return;
    }
    const more = (last?.more ?? 0) + suppressed;
    told.set(kind, { at: now(), more: 0 });
    const [firstOfCause] = cause?.split("\n") ?? [];
    const because = firstOfCause === undefined ? "" : ` (${firstOfCause})`;
    const before = more === 0 ? "" : `; ${more} more since the last line`;
    write(`countersign: ${printableText(`${line}${because}${before}`)}\n`);
  };
}
