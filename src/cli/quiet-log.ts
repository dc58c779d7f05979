import { printableText } from "./output.ts";

/** How long lines of one kind are only counted once one was told, in milliseconds. */
const quietMs = 10_000;

/** How many kinds are told apart; more share one. */
const maxKinds = 200;

interface Told {
  readonly at: number;
  /** Lines of the kind that were not told. */
  more: number;
}

/** What belongs to a line without making another kind of it. */
export interface LineDetail {
  /** The reason; its first line is told. */
  readonly because?: string | undefined;
  /** Further lines like it that whoever reports has left out. Default: 0. */
  readonly suppressed?: number;
}

/** Tells an operator one line, or counts it. */
export type QuietLog = (line: string, detail?: LineDetail) => void;

/**
 * Makes a log for what callers can cause: of one line at most one in 10 s is told, with the number of those before it
 * that were not. Nobody can therefore fill a disk with it.
 *
 * @param write receives each line with its end
 * @param now milliseconds since the epoch
 */
export function createQuietLog(
  write: (line: string) => unknown = (line) => process.stderr.write(line),
  now: () => number = Date.now,
): QuietLog {
  const told = new Map<string, Told>();
  return (line, { because, suppressed = 0 } = {}) => {
    const kind = told.has(line) || told.size < maxKinds ? line : "others";
    const last = told.get(kind);
    if (last !== undefined && now() - last.at < quietMs) {
      last.more += 1 + suppressed;
      return;
    }
    const more = (last?.more ?? 0) + suppressed;
    told.set(kind, { at: now(), more: 0 });
    const [reason] = because?.split("\n") ?? [];
    const after = reason === undefined ? "" : ` (${reason})`;
    const before = more === 0 ? "" : `; ${more} more since the last line`;
    write(`countersign: ${printableText(`${line}${after}${before}`)}\n`);
  };
}
