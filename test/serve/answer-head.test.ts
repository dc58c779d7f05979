import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { AnswerHead } from "../../src/serve/answer-head.ts";

describe("the head of an answer, as a list", () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ["Date"], now: new Date("2026-11-24T12:00:00.900Z") });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it("has the status, every value of the headers, and the date", () => {
    const headers = { "content-type": "application/grpc", "set-cookie": ["a=1", "b=2"] };
    expect(new AnswerHead(headers).list).toEqual([
      ...[":status", "200", "content-type", "application/grpc"],
      ...["set-cookie", "a=1", "set-cookie", "b=2", "date", "Tue, 24 Nov 2026 12:00:00 GMT"],
    ]);
  });

  it("is the same one within a second, and has another date in the next", () => {
    const head = new AnswerHead({});
    const first = head.list;
    vi.setSystemTime(new Date("2026-11-24T12:00:00.999Z"));
    expect(head.list).toBe(first);
    vi.setSystemTime(new Date("2026-11-24T12:00:01Z"));
    expect(head.list).toEqual([":status", "200", "date", "Tue, 24 Nov 2026 12:00:01 GMT"]);
  });

  it("leaves a handler its own date", () => {
    expect(new AnswerHead({ date: "never" }).list).toEqual([":status", "200", "date", "never"]);
  });
});
