import { Code, ConnectError } from "@connectrpc/connect";
import { expect, test, vi } from "vitest";
import { startLogUploader } from "../../../src/appio/runtime/log-uploader.ts";
import { manualSleep } from "./manual-sleep.ts";

/** An uploader whose pushes fail with the given codes in turn, then succeed. */
function uploaderWith(failures: (Code | undefined)[] = []) {
  const { sleep, next } = manualSleep();
  const pushed: string[][] = [];
  const onEnd = vi.fn();
  const push = async (lines: string[]) => {
    const code = failures.shift();
    if (code !== undefined) throw new ConnectError("scripted", code);
    pushed.push(lines);
  };
  return { uploader: startLogUploader({ push, onEnd, sleep }), pushed, onEnd, next };
}

test("queued lines go out together every 200 ms; without lines nothing is sent", async () => {
  const { uploader, pushed, next } = uploaderWith();
  let wait = await next();
  expect(wait.ms).toBe(200);
  uploader.add("a\n");
  uploader.add("b\n");
  wait.end();
  wait = await next();
  wait.end();
  await next();
  expect(pushed).toEqual([["a\n", "b\n"]]);
  await uploader.stop();
});

test("stop sends what is still queued; what comes later is dropped", async () => {
  const { uploader, pushed, next } = uploaderWith();
  await next();
  uploader.add("last\n");
  await uploader.stop();
  uploader.add("too late\n");
  await uploader.stop();
  expect(pushed).toEqual([["last\n"]]);
});

test("lines are kept while the server is unavailable, and sent in order", async () => {
  const { uploader, pushed, onEnd, next } = uploaderWith([Code.Unavailable]);
  const wait = await next();
  uploader.add("a\n");
  wait.end();
  await next();
  uploader.add("b\n");
  await uploader.stop();
  expect(pushed).toEqual([["a\n", "b\n"]]);
  expect(onEnd).not.toHaveBeenCalled();
});

test("a server that stays unavailable does not keep stop from ending", async () => {
  const { uploader, pushed, next } = uploaderWith([Code.Unavailable, Code.Unavailable]);
  await next();
  uploader.add("a\n");
  await uploader.stop();
  expect(pushed).toEqual([]);
});

test("any other failure ends the upload and is told once", async () => {
  const { uploader, pushed, onEnd, next } = uploaderWith([Code.Unauthenticated]);
  const wait = await next();
  uploader.add("a\n");
  wait.end();
  await next();
  uploader.add("b\n");
  await uploader.stop();
  expect(pushed).toEqual([]);
  expect(onEnd.mock.calls.map(([error]) => error.code)).toEqual([Code.Unauthenticated]);
});

test("one push carries at most 256 Ki characters", async () => {
  const { uploader, pushed, next } = uploaderWith();
  await next();
  const text = "x".repeat(600 * 1024);
  uploader.add(text);
  await uploader.stop();
  expect(pushed.map((lines) => lines.join("").length)).toEqual([262_144, 262_144, 90_112]);
});

test("a character outside the basic plane is never cut in two", async () => {
  const { uploader, pushed, next } = uploaderWith();
  await next();
  const text = `x${"😀".repeat(200_000)}`;
  uploader.add(text);
  await uploader.stop();
  expect(pushed.flat().every((line) => !/\p{Surrogate}/u.test(line))).toBe(true);
  expect(pushed.flat().join("")).toBe(text);
});

test("of more than 4 Mi characters the oldest are dropped", async () => {
  const { uploader, pushed, next } = uploaderWith();
  await next();
  uploader.add("old");
  uploader.add("x".repeat(4 * 1024 * 1024));
  await uploader.stop();
  const sent = pushed.flat().join("");
  expect(sent.length).toBe(4 * 1024 * 1024);
  expect(sent.startsWith("x")).toBe(true);
});
