/**
 * Writes an instant as Flower does: ISO 8601 in UTC with the offset `+00:00` and
 * six decimals, which are left out when they are all zero.
 *
 * @param atMs Milliseconds since the epoch; null gives the empty string.
 */
export function isoTime(atMs: number | null): string {
  if (atMs === null) {
    return "";
  }
  const micros = Math.round(atMs * 1000);
  const seconds = Math.floor(micros / 1_000_000);
  const fraction = micros - seconds * 1_000_000;
  const date = new Date(seconds * 1000).toISOString().slice(0, 19);
  return `${date}${fraction === 0 ? "" : `.${String(fraction).padStart(6, "0")}`}+00:00`;
}
