import { PassThrough } from "node:stream";
import { finished } from "node:stream/promises";
import { describe, expect, it } from "vitest";
import { maxLineLength, readLines } from "../../../src/appio/launch/bounded-lines.ts";

/** Writes chunks and returns the lines that are read. */
async function linesOf(chunks: readonly (string | Uint8Array)[]): Promise<string[]> {
  const stream = new PassThrough();
  const lines: string[] = [];
  readLines(stream, (line) => lines.push(line));
  for (const chunk of chunks) {
    stream.write(chunk);
  }
  stream.end();
  await finished(stream);
  return lines;
}

describe("readLines", () => {
  it("calls back for each line, the last one without an end too", async () => {
    expect(await linesOf(["a\nb\r\n", "\nc", "d\ne"])).toEqual(["a", "b", "", "cd", "e"]);
    expect(await linesOf([])).toEqual([]);
  });

  it("joins a character that two chunks share", async () => {
    const bytes = Buffer.from("é\n");
    expect(await linesOf([bytes.subarray(0, 1), bytes.subarray(1)])).toEqual(["é"]);
  });

  it("cuts what has no line end, and loses nothing of it", async () => {
    const lines = await linesOf(Array.from({ length: 300 }, () => "x".repeat(1_000)));
    expect(Math.max(...lines.map(({ length }) => length))).toBe(maxLineLength);
    expect(lines.join("")).toBe("x".repeat(300_000));
  });

  it("cuts a long line that comes in one chunk", async () => {
    const lines = await linesOf([`${"y".repeat(maxLineLength + 1)}\nz\n`]);
    expect(lines.map(({ length }) => length)).toEqual([maxLineLength, 1, 1]);
  });
});
