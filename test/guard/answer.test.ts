import { credential, parseToken, refusal, storeUnavailable } from "countersign";
import { describe, expect, it } from "vitest";
import { answerReaderOf, describeCause } from "../../src/guard/answer.ts";

const token = parseToken("s3cret");
const node = credential("node", {
  headers: ["node-key-bin", "node-time"],
  claims: { nodeId: "bigint", key: "bytes", name: "string", rank: "number", isNew: "boolean" },
});
const claims = {
  nodeId: 7n,
  key: new Uint8Array([1]),
  name: "seven",
  rank: 1,
  isNew: false,
};
const read = answerReaderOf(node);

describe("an answer", () => {
  it("that has all claims proves them, and no more", () => {
    const verified = read({ ...claims, more: "dropped", credential: "forged" }, token);
    expect(verified).toEqual({ kind: "proved", caller: { ...claims, credential: "node" } });
    expect(verified.kind === "proved" && Object.isFrozen(verified.caller)).toBe(true);
  });

  it.each<[string, keyof typeof claims, unknown]>([
    ["bytes", "key", "AQ=="],
    ["bytes", "key", [1]],
    ["string", "name", 7],
    ["number", "rank", 1n],
    ["boolean", "isNew", 0],
    ["bigint", "nodeId", undefined],
  ])("whose claim is no %s refuses", (kind, claim, value) => {
    expect(read({ ...claims, [claim]: value }, token)).toEqual({
      kind: "refused",
      reason: `the verifier's claim ${claim} is no ${kind}`,
    });
  });

  it.each<[string, unknown]>([
    ["an error", Object.assign(new Error("no"), claims)],
    ["a list", Object.assign([], claims)],
    [
      "a function",
      Object.defineProperties(() => undefined, Object.getOwnPropertyDescriptors(claims)),
    ],
    ["a text", "seven"],
    ["null", null],
  ])("that is %s proves nothing, whatever its properties say", (_what, answer) => {
    const reason = "the verifier answered with no claims";
    expect(read(answer, token)).toEqual({ kind: "refused", reason });
  });

  it("that says no says why, for operators", () => {
    expect(read(undefined, token)).toEqual({ kind: "refused", reason: "unknown" });
    expect(read(refusal("banned"), token)).toEqual({ kind: "refused", reason: "banned" });
    expect(read(storeUnavailable("down"), token)).toEqual({
      kind: "unavailable",
      cause: undefined,
    });
  });
});

describe("a cause is reported", () => {
  const withoutStack = (message: string) =>
    Object.assign(new RangeError(message), { stack: undefined });

  it("with its stack, or with its name and message where it has none", () => {
    const error = new Error("no route");
    expect(describeCause(error, token)).toBe(error.stack);
    expect(describeCause(withoutStack("no route"), token)).toBe("RangeError: no route");
  });

  it("only if it is an error that shows no secret", () => {
    expect(describeCause("no route", token)).toBeUndefined();
    expect(describeCause(undefined, token)).toBeUndefined();
    expect(describeCause(withoutStack("no row for s3cret"), token)).toBeUndefined();
    const signed = { "node-key-bin": new Uint8Array([1]), "node-time": "12:00" };
    expect(describeCause(withoutStack("12:00 is too late"), signed)).toBeUndefined();
    expect(describeCause(withoutStack("1 is too late"), signed)).toBe("RangeError: 1 is too late");
  });

  it("only if it shows none of several secrets", () => {
    const signed = { "node-time": "12:00", "node-name": "seven" };
    expect(describeCause(withoutStack("no node seven"), signed)).toBeUndefined();
    expect(describeCause(withoutStack("no node"), signed)).toBe("RangeError: no node");
  });

  it("not at all if reading it throws", () => {
    const hostile = Object.defineProperty(new Error("no"), "stack", {
      get() {
        throw new Error("never read");
      },
    });
    expect(describeCause(hostile, token)).toBeUndefined();
  });
});
