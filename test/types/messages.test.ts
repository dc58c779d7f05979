import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { type CompilerVersion, compile, root } from "./compile.ts";

/** The commonest mistakes, and what the last line of the compiler's message must name. */
const mistakes: ReadonlyMap<string, string> = new Map([
  ["missing-rpc", "converse needs a rule: open, requires(...) or anyOf(...)"],
  ["unknown-rpc", "the service has no RPC shredLetters"],
  ["no-rule", "converse needs a rule: open, requires(...) or anyOf(...)"],
  ["rule-at-run-time", "the rule of converse is decided at run time: write two policies"],
  ["widened-service", "the methods of a plain DescService are not known"],
  ["missing-handler", "converse needs a handler, or unimplemented"],
  ["claimed-field", "mailboxId"],
  ["open-caller", "caller"],
  ["missing-verifier", "session"],
  ["service-array", "an array of Service[] hides what they require"],
  ["client-without-token", "session"],
  ["client-plain-string", "parseToken"],
  ["client-protected-rpc", "countLetters"],
]);

const columns = 100;
const mostLines = 8;

describe.each<CompilerVersion>(["5.9", "6.0", "7.0"])(
  "what TypeScript %s says",
  async (version) => {
    const printed = await compile(version, join(root, "test/types/mistakes"), [
      "--noEmit",
      "-p",
      ".",
    ]);
    const messages = byFile(printed);

    it.each([...mistakes])("about %s: a few lines, the last of which names %s", (file, names) => {
      const message = messages.get(file) ?? [];
      expect(message.length, printed).toBeGreaterThan(0);
      expect(message.at(-1)).toContain(names);
      const wrapped = message.reduce((lines, line) => lines + Math.ceil(line.length / columns), 0);
      expect(wrapped, message.join("\n")).toBeLessThanOrEqual(mostLines);
    });

    it("is nothing about the other files", () => {
      expect([...messages.keys()].sort()).toEqual([...mistakes.keys()].sort());
    });
  },
);

/** The compiler's messages, as lines, by the file they are about. One message a file. */
function byFile(printed: string): Map<string, string[]> {
  const messages = new Map<string, string[]>();
  let current: string[] = [];
  for (const line of printed.split("\n").filter((line) => line !== "")) {
    const start = /^([\w./-]+)\.ts\(\d+,\d+\): error /.exec(line);
    if (start?.[1] !== undefined) {
      current = [];
      messages.set(start[1], current);
    }
    current.push(line);
  }
  return messages;
}
