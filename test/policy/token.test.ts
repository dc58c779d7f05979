import { createHash } from "node:crypto";
import { digestToken, isToken, maxTokenLength, parseToken } from "countersign";
import fc from "fast-check";
import { describe, expect, it } from "vitest";

describe("parseToken", () => {
  it("returns what it is given, down to one character", () => {
    expect(parseToken("a")).toBe("a");
    expect(parseToken("0".repeat(maxTokenLength))).toHaveLength(maxTokenLength);
  });

  it.each([
    ["", "a token must not be empty"],
    ["0".repeat(maxTokenLength + 1), "a token must not be longer than 4096 characters"],
    ["s3cret,s3cret", "a token must consist of visible ASCII characters without commas"],
    ["s3cret s3cret", "a token must consist of visible ASCII characters without commas"],
    [" s3cret", "a token must consist of visible ASCII characters without commas"],
    ["s3cret\n", "a token must consist of visible ASCII characters without commas"],
    ["s3crét", "a token must consist of visible ASCII characters without commas"],
  ])("refuses a malformed token and does not show it", (value, text) => {
    expect(() => parseToken(value)).toThrow(new TypeError(text));
    expect(isToken(value)).toBe(false);
  });

  it.each<[unknown, string]>([
    [undefined, "undefined"],
    [null, "null"],
    [7, "number"],
    [["a"], "object"],
  ])("refuses %j, which is no string", (value, type) => {
    expect(() => parseToken(value as never)).toThrow(
      new TypeError(`a token must be a string, not ${type}`),
    );
  });

  it("accepts exactly the visible ASCII characters but the comma", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", minLength: 1, maxLength: 8 }), (value) => {
        const expected = [...value].every((c) => c > " " && c <= "~" && c !== ",");
        expect(isToken(value)).toBe(expected);
      }),
    );
  });
});

describe("digestToken", () => {
  it("is the SHA-256 of the token in lower-case hexadecimal", () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[!-+\--~]{1,64}$/), (value) => {
        expect(digestToken(parseToken(value))).toBe(
          createHash("sha256").update(value).digest("hex"),
        );
      }),
    );
  });
});
