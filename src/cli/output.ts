/** A value that a command prints as JSON; ids are 64 bits wide and become strings. */
export type Printable =
  | string
  | number
  | boolean
  | bigint
  | null
  | undefined
  | readonly Printable[]
  | { readonly [key: string]: Printable };

/**
 * JSON of one line, for scripts: bigints as decimal strings, for JSON's numbers end at 2^53. Control characters are
 * escaped, those of terminals that JSON lets through as well.
 */
export function toJsonLine(value: Printable): string {
  const json = JSON.stringify(value, (_, child: unknown) =>
    typeof child === "bigint" ? child.toString() : child,
  );
  return json.replace(/[\u007f-\u009f]/g, (character) => `\\u00${hexOf(character)}`);
}

/** Prints one line of JSON on stdout. */
export function printJson(value: Printable): void {
  process.stdout.write(`${toJsonLine(value)}\n`);
}

/** Prints a line of text on stdout. */
export function printLine(text: string): void {
  process.stdout.write(`${text}\n`);
}

/**
 * Rows as aligned columns, two blanks apart; the first row is the heading. Control characters become visible escapes,
 * line ends as well: a text from elsewhere cannot make rows of its own.
 */
export function formatTable(table: readonly (readonly string[])[]): string {
  const rows = table.map((row) => row.map((cell) => cell.replace(controlCharacter, escaped)));
  const widths: number[] = [];
  for (const row of rows) {
    for (const [column, cell] of row.entries()) {
      widths[column] = Math.max(widths[column] ?? 0, cell.length);
    }
  }
  const lines = rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd(),
  );
  return lines.join("\n");
}

/**
 * A text from elsewhere, made fit for a terminal: control characters, which could move the cursor or change its
 * colours, become visible escapes. Tabs and line ends stay.
 */
export function printableText(text: string): string {
  return text.replace(controlCharacter, (character) =>
    character === "\t" || character === "\n" ? character : escaped(character),
  );
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is replaced
const controlCharacter = /[\u0000-\u001f\u007f-\u009f]/g;

function escaped(character: string): string {
  return `\\x${hexOf(character)}`;
}

function hexOf(character: string): string {
  return character.charCodeAt(0).toString(16).padStart(2, "0");
}
