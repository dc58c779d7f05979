import { isWellFormed } from "./keyed-record.ts";

/**
 * The JSON of object bodies. Ids are hashes over it, so it is written exactly
 * as Python's `json.dumps` writes it: ", " and ": " as separators, ASCII only.
 */

const shortEscapes = new Map([
  ['"', '\\"'],
  ["\\", "\\\\"],
  ["\n", "\\n"],
  ["\r", "\\r"],
  ["\t", "\\t"],
  ["\b", "\\b"],
  ["\f", "\\f"],
]);

/** Writes one string. Characters beyond ASCII become one or two `\uXXXX`. */
export function writeJsonString(value: string): string {
  // Without the "u" flag the pattern walks UTF-16 code units: an astral
  // character becomes its surrogate pair, as it does in Python.
  const escaped = value.replace(
    /[^ !#-[\]-~]/g,
    (unit) => shortEscapes.get(unit) ?? `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
  return `"${escaped}"`;
}

/** Writes an object whose values are JSON texts already, in the given order. */
export function writeJsonObject(members: Iterable<readonly [string, string]>): string {
  return `{${Array.from(members, ([key, text]) => `${writeJsonString(key)}: ${text}`).join(", ")}}`;
}

/** Writes an array of integers. */
export function writeJsonIntegers(values: readonly number[]): string {
  return `[${values.join(", ")}]`;
}

/**
 * Reads an object of strings and keeps the order of its members, which
 * `JSON.parse` does not (keys that look like integers come first there), and
 * on which the id of the re-encoded object depends. Of a key that occurs twice
 * the last value counts, in the first place, as in Python.
 *
 * @throws SyntaxError if the text is anything else, or a key has a lone surrogate.
 */
export function parseStringMembers(text: string): Map<string, string> {
  const members = new Map<string, string>();
  let at = 0;
  const fail = (): never => {
    throw new SyntaxError(`expected a JSON object of strings, failed at character ${at}`);
  };
  const skipBlanks = () => {
    while (" \t\n\r".includes(text.charAt(at)) && at < text.length) {
      at += 1;
    }
  };
  const take = (character: string): boolean => {
    skipBlanks();
    const found = text.charAt(at) === character;
    at += found ? 1 : 0;
    return found;
  };
  const takeString = (): string => {
    skipBlanks();
    const start = at;
    if (text.charAt(at) !== '"') {
      return fail();
    }
    for (at += 1; at < text.length && text.charAt(at) !== '"'; at += 1) {
      at += text.charAt(at) === "\\" ? 1 : 0;
    }
    at += 1;
    const value: unknown = JSON.parse(text.slice(start, at));
    return typeof value === "string" ? value : fail();
  };

  if (!take("{")) {
    fail();
  }
  if (!take("}")) {
    do {
      const key = takeString();
      if (!take(":")) {
        fail();
      }
      members.set(isWellFormed(key) ? key : fail(), takeString());
    } while (take(","));
    if (!take("}")) {
      fail();
    }
  }
  skipBlanks();
  return at === text.length ? members : fail();
}
