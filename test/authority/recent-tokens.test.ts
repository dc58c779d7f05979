import { expect, test } from "vitest";
import { createRecentTokens } from "../../src/authority/recent-tokens.ts";
import { digestToken, parseToken } from "../../src/policy/token.ts";

function tokenOf(name: string, remainingMs = 30_000) {
  return { runId: 1n, digest: digestToken(parseToken(name)), activeUntilMs: 0, remainingMs };
}

function create(staleMs = 100) {
  const clock = { ms: 0 };
  return { clock, tokens: createRecentTokens(staleMs, () => clock.ms) };
}

test("a proof counts for the allowed time from the question on", () => {
  const { clock, tokens } = create();
  const token = tokenOf("a");
  const answered = tokens.asking();
  clock.ms = 40;
  answered(token);
  clock.ms = 99;
  expect(tokens.find(token.digest)).toMatchObject({ runId: 1n });
  clock.ms = 100;
  expect(tokens.find(token.digest)).toBeUndefined();
});

test("a proof never outlives its token", () => {
  const { clock, tokens } = create();
  const token = tokenOf("a", 10);
  tokens.asking()(token);
  clock.ms = 9;
  expect(tokens.find(token.digest)).toBeDefined();
  clock.ms = 10;
  expect(tokens.find(token.digest)).toBeUndefined();
  const ended = tokenOf("b", -1);
  tokens.asking()(ended);
  expect(tokens.find(ended.digest)).toBeUndefined();
});

test("what is forgotten stays so, also when an older question is answered later", () => {
  const { tokens } = create();
  const token = tokenOf("a");
  tokens.asking()(token);
  const answered = tokens.asking();
  tokens.forget(token.digest);
  answered(token);
  expect(tokens.find(token.digest)).toBeUndefined();
});

test("only so many proofs are kept, the newest", () => {
  const { tokens } = create();
  const many = Array.from({ length: 10_001 }, (_, index) => tokenOf(`t${index}`));
  for (const token of many) {
    tokens.asking()(token);
  }
  expect(tokens.find(many[0]?.digest ?? tokenOf("x").digest)).toBeUndefined();
  expect(tokens.find(many[1]?.digest ?? tokenOf("x").digest)).toBeDefined();
});

test("a proof that is renewed is the newest", () => {
  const { tokens } = create();
  const many = Array.from({ length: 10_001 }, (_, index) => tokenOf(`t${index}`));
  const [first, second] = many;
  for (const token of [...many.slice(0, 10_000), tokenOf("t0"), ...many.slice(10_000)]) {
    tokens.asking()(token);
  }
  expect(tokens.find(first?.digest ?? tokenOf("x").digest)).toBeDefined();
  expect(tokens.find(second?.digest ?? tokenOf("x").digest)).toBeUndefined();
});

test("an answer that was asked for before anything was forgotten is not kept", () => {
  const { tokens } = create();
  const answered = tokens.asking();
  tokens.forget(tokenOf("another").digest);
  answered(tokenOf("a"));
  expect(tokens.find(tokenOf("a").digest)).toBeUndefined();
  tokens.asking()(tokenOf("a"));
  expect(tokens.find(tokenOf("a").digest)).toEqual({
    runId: 1n,
    digest: tokenOf("a").digest,
    activeUntilMs: 0,
  });
});

test("durations are measured by a clock that does not jump", () => {
  const tokens = createRecentTokens(60_000);
  tokens.asking()(tokenOf("a"));
  expect(tokens.find(tokenOf("a").digest)).toBeDefined();
});
