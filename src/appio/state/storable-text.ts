/**
 * Makes free text of an app storable: PostgreSQL keeps no U+0000, and a log line
 * or the reason of a failure must not be lost for it. It becomes U+FFFD.
 */
export function storableText(text: string): string {
  return text.replaceAll("\0", "\uFFFD");
}
