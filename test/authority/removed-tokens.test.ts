import { expect, test } from "vitest";
import { createRemovedTokens } from "../../src/authority/removed-tokens.ts";
import { digestToken, parseToken } from "../../src/policy/token.ts";
import { refusal } from "../../src/policy/verifier.ts";

test("the reasons of the last removals are kept, and no more", () => {
  const removed = createRemovedTokens(2);
  const one = digestToken(parseToken("a"));
  const two = digestToken(parseToken("b"));
  const three = digestToken(parseToken("c"));
  const reason = refusal("revoked");
  removed.note(one, reason);
  removed.note(two, reason);
  removed.note(three, reason);
  expect([one, two, three].map(removed.find)).toEqual([undefined, reason, reason]);
});
