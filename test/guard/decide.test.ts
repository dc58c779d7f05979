import { anyOf, credential, open, requires } from "countersign";
import { describe, expect, it } from "vitest";
import { decide, headersSource, rawHeadersSource } from "../../src/guard/decide.ts";

const token = credential("token", { header: "app-token", claims: {} });
const key = credential("key", { headers: ["key-bin", "key-time"], claims: {} });
const raw = (...entries: [string, string][]) => rawHeadersSource(entries);
const none = raw();

describe("decide", () => {
  it("refuses an RPC that has no rule", () => {
    expect(decide(undefined, raw(["app-token", "a"]))).toEqual({
      kind: "refuse",
      reason: "unknown RPC",
      credential: undefined,
    });
  });

  it("allows an open RPC, whatever a token header holds", () => {
    expect(decide(open, none)).toEqual({ kind: "allow" });
    expect(decide(open, raw(["app-token", ""], ["app-token", ","]))).toEqual({ kind: "allow" });
  });

  it("hands a well-formed secret to its verifier, as it is", () => {
    expect(decide(requires(token), raw(["App-Token", "aB=~"]))).toEqual({
      kind: "verify",
      credential: token,
      presented: "aB=~",
    });
  });

  it.each<[string, [string, string][], string]>([
    ["none", [], "missing"],
    ["another header", [["authorization", "a"]], "missing"],
    ["the -bin variant", [["app-token-bin", "YQ=="]], "missing"],
    ["an empty value", [["app-token", ""]], "header app-token is empty"],
    ["blanks", [["app-token", "  "]], "header app-token is malformed"],
    ["a blank around it", [["app-token", " a"]], "header app-token is malformed"],
    ["a comma", [["app-token", "a,a"]], "header app-token is malformed"],
    [
      "the same twice",
      [
        ["app-token", "a"],
        ["app-token", "a"],
      ],
      "header app-token was sent 2 times",
    ],
    [
      "an empty one and a right one",
      [
        ["app-token", ""],
        ["App-Token", "a"],
      ],
      "header app-token was sent 2 times",
    ],
  ])("refuses %s", (_what, entries, reason) => {
    expect(decide(requires(token), rawHeadersSource(entries))).toEqual({
      kind: "refuse",
      reason,
      credential: "token",
    });
  });

  it("refuses what a Headers object has joined", () => {
    const headers = new Headers();
    headers.append("app-token", "a");
    headers.append("app-token", "a");
    expect(decide(requires(token), headersSource(headers))).toMatchObject({
      kind: "refuse",
      reason: "header app-token is malformed",
    });
    expect(decide(requires(token), headersSource(new Headers({ "App-Token": "a" })))).toMatchObject(
      { kind: "verify", presented: "a" },
    );
  });

  it("decodes the -bin headers of a signed credential, with and without padding", () => {
    for (const encoded of ["AP8=", "AP8"]) {
      expect(decide(requires(key), raw(["key-bin", encoded], ["key-time", "1"]))).toEqual({
        kind: "verify",
        credential: key,
        presented: { "key-bin": new Uint8Array([0, 255]), "key-time": "1" },
      });
    }
  });

  it.each<[string, [string, string][], string]>([
    ["a part of the headers", [["key-bin", "AP8="]], "header key-time is missing"],
    [
      "what is not base64",
      [
        ["key-bin", "*"],
        ["key-time", "1"],
      ],
      "header key-bin is not base64",
    ],
    [
      "two values in one -bin header, as gRPC joins them",
      [
        ["key-bin", "AP8=,AP8="],
        ["key-time", "1"],
      ],
      "header key-bin is malformed",
    ],
  ])("refuses %s of a signed credential", (_what, entries, reason) => {
    expect(decide(requires(key), rawHeadersSource(entries))).toEqual({
      kind: "refuse",
      reason,
      credential: "key",
    });
  });

  it("takes exactly one of anyOf", () => {
    const either = anyOf([token, key]);
    const signed: [string, string][] = [
      ["key-bin", "AP8="],
      ["key-time", "1"],
    ];
    expect(decide(either, raw(["app-token", "a"]))).toMatchObject({ credential: token });
    expect(decide(either, rawHeadersSource(signed))).toMatchObject({ credential: key });
    expect(decide(either, none)).toEqual({
      kind: "refuse",
      reason: "missing",
      credential: undefined,
    });
    const both = { kind: "refuse", reason: "several credentials", credential: undefined };
    expect(decide(either, raw(["app-token", "a"], ...signed))).toEqual(both);
    // One that is malformed counts as present: it must not hide behind the other.
    expect(decide(either, raw(["app-token", ""], ...signed))).toEqual(both);
    expect(decide(either, raw(["app-token", "a"], ["key-time", "1"]))).toEqual(both);
  });
});
