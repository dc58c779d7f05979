/** How far a signature's time may lie ahead, in milliseconds: clocks differ. */
const maxLeadMs = 5_000;

/** How long a signature is accepted beyond the tolerance, in milliseconds: calls travel. */
const graceMs = 5_000;

/** How far clocks may differ unless something else is said, in seconds: Flower's tolerance. */
export const defaultClockToleranceSeconds = 300;

/** A date and a time with an offset from UTC, as Python's `isoformat` writes them. */
const timestampPattern = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?(?:Z|[+-]\d{2}:\d{2})$/;

/**
 * Writes an instant as Flower signs it: ISO 8601 in UTC, with the offset as
 * `+00:00`, which every version of Python reads (contract 9).
 *
 * @param instant milliseconds since the epoch
 */
export function formatTimestamp(instant: number): string {
  return new Date(instant).toISOString().replace("Z", "+00:00");
}

/**
 * Reads a signature's timestamp: ISO 8601 with an offset, which may be `Z`.
 *
 * @returns milliseconds since the epoch; undefined if it is something else,
 * such as a local time without an offset
 */
export function parseTimestamp(text: string): number | undefined {
  const instant = timestampPattern.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(instant) ? undefined : instant;
}

/** Tells whether a signature of this instant may be accepted: -5 s < age < tolerance + 5 s. */
export function isFresh(instant: number, now: number, toleranceSeconds: number): boolean {
  const ageMs = now - instant;
  return ageMs > -maxLeadMs && ageMs < freshForMs(toleranceSeconds);
}

/** How long after its own instant a signature is accepted, in milliseconds. */
export function freshForMs(toleranceSeconds: number): number {
  return toleranceSeconds * 1_000 + graceMs;
}
