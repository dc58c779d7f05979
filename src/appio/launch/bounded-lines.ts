import { StringDecoder } from "node:string_decoder";

/** The longest line that is kept together, in characters. */
export const maxLineLength = 65_536;

/**
 * Calls back for each line of a stream, without its end. A longer one comes in
 * pieces of {@link maxLineLength}: what a child writes without line ends must
 * not fill its parent's memory.
 */
export function readLines(input: NodeJS.ReadableStream, onLine: (line: string) => void): void {
  const decoder = new StringDecoder("utf8");
  let rest = "";
  const take = (text: string): void => {
    rest += text;
    const lines = rest.split(/\r?\n/);
    rest = lines.pop() ?? "";
    for (const line of lines) {
      emit(line);
    }
    while (rest.length > maxLineLength) {
      onLine(rest.slice(0, maxLineLength));
      rest = rest.slice(maxLineLength);
    }
  };
  const emit = (line: string): void => {
    for (let at = 0; at === 0 || at < line.length; at += maxLineLength) {
      onLine(line.slice(at, at + maxLineLength));
    }
  };
  input.on("data", (chunk: Buffer) => take(decoder.write(chunk)));
  input.on("end", () => {
    take(decoder.end());
    if (rest !== "") {
      emit(rest);
    }
  });
}
