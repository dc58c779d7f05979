import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { BodyClock, Waiting } from "../../src/serve/body-clock.ts";

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
});
afterEach(() => {
  vi.useRealTimers();
});

class Call extends Waiting {
  readonly #onLate: () => void;

  constructor(onLate: () => void) {
    super();
    this.#onLate = onLate;
  }

  onLate(): void {
    this.#onLate();
  }
}

it("tells who waits too long, in their order, and nobody who waits no more", () => {
  const clock = new BodyClock(100);
  const late: string[] = [];
  const call = (name: string) => new Call(() => late.push(name));
  const [first, second, third] = [call("first"), call("second"), call("third")];
  for (const one of [first, second, third]) {
    clock.start(one);
    vi.advanceTimersByTime(30);
  }
  clock.stop(second);
  vi.advanceTimersByTime(10);
  expect(late).toEqual(["first"]);
  vi.advanceTimersByTime(59);
  expect(late).toEqual(["first"]);
  vi.advanceTimersByTime(1);
  expect(late).toEqual(["first", "third"]);
  expect(vi.getTimerCount()).toBe(0);
});

it("has one timer, however often one that is late has another one wait", () => {
  const clock = new BodyClock(100);
  const others: Call[] = [];
  for (let i = 0; i < 10; i++) {
    const other = new Call(() => others.push(other));
    clock.start(new Call(() => clock.start(other)));
    vi.advanceTimersByTime(7);
  }
  // Some are late, others wait: then the clock has to look again.
  for (let i = 0; i < 10; i++) {
    vi.advanceTimersByTime(7);
    expect(vi.getTimerCount()).toBe(1);
  }
  vi.advanceTimersByTime(1_000);
  expect(others).toHaveLength(10);
  expect(vi.getTimerCount()).toBe(0);
});
