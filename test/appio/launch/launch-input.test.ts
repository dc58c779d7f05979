import { PassThrough } from "node:stream";
import { expect, test } from "vitest";
import { readLaunchInput } from "../../../src/appio/launch/launch-input.ts";

test("reads the token from the first line, however it is cut into pieces", async () => {
  const stdin = new PassThrough();
  const input = readLaunchInput(stdin);
  for (const piece of ['{"tok', 'en": "ab', 'cd"}', "\nmore"]) stdin.write(piece);
  const { token, parentGone } = await input;
  expect(token).toBe("abcd");
  expect(parentGone.aborted).toBe(false);
});

test("the end of stdin tells that the parent is gone", async () => {
  const stdin = new PassThrough();
  stdin.write('{"token": "abcd"}\n');
  const { parentGone } = await readLaunchInput(stdin);
  const gone = new Promise((resolve) => parentGone.addEventListener("abort", resolve));
  stdin.end();
  await gone;
  expect(parentGone.aborted).toBe(true);
});

test("a parent that is gone at once is noticed, too", async () => {
  const stdin = new PassThrough();
  stdin.end('{"token": "abcd"}\n');
  const { parentGone } = await readLaunchInput(stdin);
  const gone = new Promise((resolve) => parentGone.addEventListener("abort", resolve));
  if (!parentGone.aborted) await gone;
});

test.each([
  ["nothing", ""],
  ["no JSON", "secret-value\n"],
  ["JSON without a token", '{"secret-value": 1}\n'],
  ["a token that is no text", '{"token": 12345}\n'],
  ["a malformed token", '{"token": "secret-value, secret-value"}\n'],
  ["an endless line", `{"token": "${"secret-value".repeat(2000)}`],
])("refuses %s, and shows nothing of it", async (_, text) => {
  const stdin = new PassThrough();
  stdin.end(text);
  const failure: unknown = await readLaunchInput(stdin).catch((error) => error);
  expect(String(failure)).toContain('Expected {"token": "..."} as the first line of stdin');
  expect(String(failure)).not.toContain("secret-value");
});
