import { refusal, storeUnavailable } from "countersign";
import { describe, expect, it } from "vitest";
import { isRefusal, isStoreUnavailable } from "../../src/policy/verifier.ts";

describe("refusal", () => {
  it("keeps its reason, and cannot be changed", () => {
    const banned = refusal("banned");
    expect(banned.reason).toBe("banned");
    expect(Object.isFrozen(banned)).toBe(true);
  });

  it("needs a reason", () => {
    expect(() => refusal("")).toThrow(new TypeError("a refusal needs a reason"));
  });
});

describe("storeUnavailable", () => {
  it("keeps its cause, and cannot be changed", () => {
    const cause = new Error("no route");
    expect(storeUnavailable(cause).cause).toBe(cause);
    expect(Object.isFrozen(storeUnavailable())).toBe(true);
  });
});

describe("a verifier's no is told from everything else", () => {
  it.each<[unknown, boolean, boolean]>([
    [refusal("banned"), true, false],
    [storeUnavailable(), false, true],
    [{ reason: "banned", cause: undefined }, false, false],
    [null, false, false],
    [undefined, false, false],
    ["banned", false, false],
  ])("%o", (answer, isNo, isUnknown) => {
    expect([isRefusal(answer), isStoreUnavailable(answer)]).toEqual([isNo, isUnknown]);
  });
});
