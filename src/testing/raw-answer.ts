import type { HeaderEntries } from "./raw-request.ts";

/**
 * How an exchange ended:
 * - `answered`: with a whole answer,
 * - `reset`: the server broke the stream or the connection off,
 * - `unreachable`: no connection,
 * - `timeout`: with no whole answer in time.
 */
export type Ending = "answered" | "reset" | "unreachable" | "timeout";

/** What came back. */
export interface RawAnswer {
  readonly ending: Ending;
  /** The HTTP status; 0 if none came. */
  readonly status: number;
  readonly headers: HeaderEntries;
  readonly body: Buffer;
  readonly trailers: HeaderEntries;
  /** Bytes of the body that left this process before the exchange ended. */
  readonly sentBodyBytes: number;
}

/** How long an exchange may take, and how much it may send. */
export interface ExchangeLimits {
  readonly timeoutMs: number;
  /** The most that a `flood` sends. */
  readonly floodBytes: number;
  /** The most of an answer that is kept. */
  readonly answerBytes: number;
}

/** An answer of which nothing came. */
export function noAnswer(ending: Ending, sentBodyBytes = 0): RawAnswer {
  return { ending, status: 0, headers: [], body: Buffer.alloc(0), trailers: [], sentBodyBytes };
}

/** Pairs of a list in which names and values take turns. */
export function entriesOf(flat: readonly string[]): HeaderEntries {
  const entries: [string, string][] = [];
  for (let i = 0; i + 1 < flat.length; i += 2) {
    entries.push([(flat[i] ?? "").toLowerCase(), flat[i + 1] ?? ""]);
  }
  return entries;
}

/** What one can see of an answer, as text to compare; headers of these names are left out. */
export function visibleBytes(answer: RawAnswer, ignoredHeaders: ReadonlySet<string>): string {
  const kept = (entries: HeaderEntries) => entries.filter(([name]) => !ignoredHeaders.has(name));
  return JSON.stringify([
    answer.ending,
    answer.status,
    kept(answer.headers),
    answer.body.toString("latin1"),
    kept(answer.trailers),
  ]);
}
