/**
 * Cuts a list into pieces for one statement each: engines bound the number of
 * parameters, and a statement on SQLite stops the process until it is done.
 */
export function* batches<T>(list: readonly T[], size = 500): Generator<readonly T[]> {
  for (let start = 0; start < list.length; start += size) {
    yield list.slice(start, start + size);
  }
}
