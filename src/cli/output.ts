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

/** JSON of one line, for scripts: bigints as decimal strings, for JSON's numbers end at 2^53. */
export function toJsonLine(value: Printable): string {
  return JSON.stringify(value, (_, child: unknown) =>
    typeof child === "bigint" ? child.toString() : child,
  );
}

/** Prints one line of JSON on stdout. */
export function printJson(value: Printable): void {
  process.stdout.write(`${toJsonLine(value)}\n`);
}

/** Prints a line of text on stdout. */
export function printLine(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** Rows as aligned columns, two blanks apart; the first row is the heading. */
export function formatTable(rows: readonly (readonly string[])[]): string {
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
 * colours, become visible escapes.
 */
export function printableText(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is replaced
  return text.replace(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/g, (character) =>
    character === "\t" ? character : `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`,
  );
}
