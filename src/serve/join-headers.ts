/**
 * Puts header fields into a `Headers` object, which joins repeated ones.
 *
 * @throws TypeError if a name or a value is none that HTTP allows.
 */
export function joinHeaders(
  ...lists: readonly Iterable<readonly [name: string, value: string]>[]
): Headers {
  const headers = new Headers();
  for (const list of lists) {
    for (const [name, value] of list) {
      headers.append(name, value);
    }
  }
  return headers;
}
