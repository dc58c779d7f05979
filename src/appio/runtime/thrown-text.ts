/** The longest text about something thrown, in characters: it travels in statuses and replies. */
const maxLength = 2000;

/**
 * Returns the text of something that an app threw: an error's message, or its
 * name where it has none. Anything can be thrown; this never throws.
 */
export function textOfThrown(thrown: unknown): string {
  return bounded(() => (thrown instanceof Error ? thrown.message || thrown.name : String(thrown)));
}

/** Returns the same as Flower's error replies have it: `<class 'TypeError'>:<'text'>`. */
export function reasonOfThrown(thrown: unknown): string {
  return bounded(() =>
    thrown instanceof Error
      ? `<class '${thrown.name}'>:<'${thrown.message}'>`
      : `<class '${typeof thrown}'>:<'${String(thrown)}'>`,
  );
}

/** Returns what is logged of something thrown, in lines: a title with its text, and where it came from. */
export function linesOfThrown(title: string, thrown: unknown): string[] {
  const trace = bounded(() => (thrown instanceof Error ? thrown.stack : ""));
  const places = trace.split("\n").filter((line) => /^\s+at /.test(line));
  return [...`${title}: ${textOfThrown(thrown)}`.split("\n"), ...places];
}

/** An error's getters and an object's toString are the app's code: they may throw, or give no string. */
function bounded(write: () => unknown): string {
  let text: string;
  try {
    text = String(write());
  } catch {
    return "something that has no text was thrown";
  }
  return text.length <= maxLength ? text : `${text.slice(0, maxLength - 1)}…`;
}
