/** A stream that is ended from outside, without a server: what its two ends see, and when. */

import { getEventListeners } from "node:events";
import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { StreamWatch, type StreamWatchOptions } from "../../src/guard/stream-watch.ts";

const denied = new ConnectError("denied", Code.PermissionDenied);

function start(options: Partial<StreamWatchOptions> = {}) {
  const call = new AbortController();
  const watch = new StreamWatch({
    signal: call.signal,
    everyMs: 5,
    readmit: async () => {},
    isProtected: false,
    ...options,
  });
  return { call, watch };
}

/** Messages that are sent one by one, and what became of their iterator. */
function source<T>(...messages: T[]) {
  const seen = { returned: 0, thrown: [] as unknown[] };
  const iterable: AsyncIterable<T> & { readonly seen: typeof seen } = {
    seen,
    [Symbol.asyncIterator]: () => ({
      async next() {
        const value = messages.shift();
        return value === undefined ? { done: true, value } : { done: false, value };
      },
      async return(value?: unknown) {
        seen.returned++;
        return { done: true, value };
      },
      async throw(reason: unknown) {
        seen.thrown.push(reason);
        throw reason;
      },
    }),
  };
  return iterable;
}

/** Messages that never come. */
const silence: AsyncIterable<never> = {
  [Symbol.asyncIterator]: () => ({ next: () => new Promise<never>(() => {}) }),
};

async function read<T>(messages: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const message of messages) {
    all.push(message);
  }
  return all;
}

describe("what comes in", () => {
  it("is checked one by one, and ends as it ends", async () => {
    const { watch, call } = start();
    const checked: number[] = [];
    const messages = source(1, 2, 3);
    expect(await read(watch.inbound(messages, (each) => void checked.push(each)))).toEqual([
      1, 2, 3,
    ]);
    expect(checked).toEqual([1, 2, 3]);
    expect(watch.signal.aborted).toBe(false);
    expect(messages.seen.returned).toBe(1);
    expect(getEventListeners(watch.signal, "abort")).toEqual([]);
    expect(getEventListeners(call.signal, "abort")).toHaveLength(1);
  });

  it("ends at a message that fails its check, whoever reads on", async () => {
    const { watch } = start();
    const messages = source(1, 2, 3);
    const inbound = watch.inbound(messages, async (each) => {
      if (each === 2) {
        throw denied;
      }
    });
    const seen: number[] = [];
    const reading = (async () => {
      for await (const each of inbound) {
        seen.push(each);
      }
    })();
    await expect(reading).rejects.toBe(denied);
    expect(seen).toEqual([1]);
    expect(watch.signal.reason).toBe(denied);
    expect(messages.seen.returned).toBe(1);
    await expect(watch.race(Promise.resolve("answer"))).rejects.toBe(denied);
  });

  it("throws when the call ends while a message is waited for", async () => {
    const { watch, call } = start();
    const reading = read(watch.inbound(silence, () => {}));
    call.abort(new Error("gone"));
    await expect(reading).rejects.toMatchObject({ code: Code.Canceled, rawMessage: "gone" });
  });

  it("throws when the call has ended, though a message is there", async () => {
    const { watch, call } = start();
    const inbound = watch.inbound(source(1, 2), () => call.abort(denied));
    const iterator = inbound[Symbol.asyncIterator]();
    expect(await iterator.next()).toEqual({ done: false, value: 1 });
    await expect(iterator.next()).rejects.toMatchObject({ code: Code.PermissionDenied });
  });

  it("fails as its source does", async () => {
    const { watch } = start();
    const broken: AsyncIterable<number> = {
      [Symbol.asyncIterator]: () => ({
        next: () => Promise.reject(new Error("cut off")),
        return: () => Promise.reject(new Error("not open")),
      }),
    };
    await expect(read(watch.inbound(broken, () => {}))).rejects.toThrow("cut off");
  });
});

describe("what goes out", () => {
  it("ends the watch when it ends", async () => {
    const { watch } = start();
    expect(await read(watch.outbound(source(1, 2)))).toEqual([1, 2]);
    expect(watch.signal.aborted).toBe(true);
  });

  it("ends the watch when its reader leaves, and its writer is told", async () => {
    const { watch } = start();
    const messages = source(1, 2);
    for await (const each of watch.outbound(messages)) {
      expect(each).toBe(1);
      expect(watch.signal.aborted).toBe(false);
      break;
    }
    expect(watch.signal.aborted).toBe(true);
    expect(messages.seen.returned).toBe(1);
  });

  it("passes on what its reader throws", async () => {
    const { watch } = start();
    const messages = source(1);
    const iterator = watch.outbound(messages)[Symbol.asyncIterator]();
    await expect(iterator.throw?.(denied)).rejects.toBe(denied);
    expect(messages.seen.thrown).toEqual([denied]);
    expect(watch.signal.reason).toBe(denied);
  });

  it("needs no more of its writer than `next`", async () => {
    const leaving = start().watch.outbound(silence)[Symbol.asyncIterator]();
    expect(await leaving.return?.("value")).toEqual({ done: true, value: "value" });
    const throwing = start().watch.outbound(silence)[Symbol.asyncIterator]();
    await expect(throwing.throw?.(denied)).rejects.toBe(denied);
  });

  it("fails as its writer does, who is told", async () => {
    const { watch } = start();
    let returned = 0;
    const broken: AsyncIterable<number> = {
      [Symbol.asyncIterator]: () => ({
        next: () => Promise.reject(denied),
        return: () => {
          returned++;
          return Promise.reject(new Error("not open"));
        },
      }),
    };
    await expect(read(watch.outbound(broken))).rejects.toBe(denied);
    expect(watch.signal.reason).toBe(denied);
    expect(returned).toBe(1);
  });

  it("ends at once when what comes in is refused, though its writer is stuck", async () => {
    const { watch } = start();
    const answers = read(watch.outbound(silence));
    const refusing = read(
      watch.inbound(source(1), () => {
        throw denied;
      }),
    );
    await expect(refusing).rejects.toBe(denied);
    await expect(answers).rejects.toBe(denied);
  });
});

describe("a race", () => {
  it("settles as the work does", async () => {
    const { watch } = start();
    expect(await watch.race(Promise.resolve(1))).toBe(1);
    await expect(watch.race(Promise.reject(denied))).rejects.toBe(denied);
  });

  it("is lost by work that goes on, or fails later, when the stream is refused", async () => {
    const { watch } = start();
    const late = Promise.withResolvers<number>();
    const failing = Promise.withResolvers<number>();
    const races = [watch.race(late.promise), watch.race(failing.promise)];
    const refusing = read(
      watch.inbound(source(1), () => {
        throw denied;
      }),
    );
    await expect(refusing).rejects.toBe(denied);
    late.resolve(1);
    failing.reject(new Error("because it was cut off"));
    for (const race of races) {
      await expect(race).rejects.toBe(denied);
    }
    await expect(watch.race(new Promise(() => {}))).rejects.toBe(denied);
    // What is given up must not be reported as unhandled either.
    await expect(watch.race(Promise.reject(new Error("unheard")))).rejects.toBe(denied);
  });
});

describe("the call's signal", () => {
  it("ends the watch with its reason", () => {
    const { watch, call } = start();
    expect(watch.signal.aborted).toBe(false);
    call.abort(denied);
    expect(watch.signal.reason).toBe(denied);
  });

  it("may have been aborted before", () => {
    const over = AbortSignal.abort(denied);
    let asked = 0;
    const { watch } = start({
      signal: over,
      isProtected: true,
      readmit: async () => {
        asked++;
      },
    });
    expect(watch.signal.reason).toBe(denied);
    expect(getEventListeners(over, "abort")).toEqual([]);
    expect(asked).toBe(0);
  });
});

describe("verifying again", () => {
  /** Resolves when the readmissions have been asked for as often as that. */
  function counting(upTo: number, answer: () => Promise<void>) {
    const reached = Promise.withResolvers<void>();
    const counted = { asked: 0, reached: reached.promise };
    const readmit = () => {
      counted.asked++;
      if (counted.asked === upTo) {
        reached.resolve();
      }
      return answer();
    };
    return { counted, readmit };
  }

  it("goes on for as long as the stream does", async () => {
    const { counted, readmit } = counting(3, async () => {});
    const { watch } = start({ isProtected: true, readmit });
    await counted.reached;
    expect(watch.signal.aborted).toBe(false);
    await read(watch.outbound(source(1)));
    const atEnd = counted.asked;
    const later = counting(3, async () => {});
    const other = start({ isProtected: true, readmit: later.readmit });
    await later.counted.reached;
    other.call.abort();
    expect(counted.asked).toBe(atEnd);
  });

  it("keeps no process alive", () => {
    // Lists what does.
    const timers = () =>
      process.getActiveResourcesInfo().filter((resource) => resource === "Timeout").length;
    const before = timers();
    const calls = Array.from({ length: 20 }, () => start({ isProtected: true, everyMs: 60_000 }));
    expect(timers() - before).toBeLessThan(10);
    for (const { call } of calls) {
      call.abort();
    }
  });

  it("is not needed where there is no credential", async () => {
    const never = counting(1, async () => {});
    start({ readmit: never.readmit });
    const { counted, readmit } = counting(3, async () => {});
    const { call } = start({ isProtected: true, readmit });
    await counted.reached;
    call.abort();
    expect(never.counted.asked).toBe(0);
  });

  it("ends the stream when it is refused", async () => {
    const { watch } = start({ isProtected: true, readmit: () => Promise.reject(denied) });
    await expect(read(watch.outbound(silence))).rejects.toBe(denied);
    expect(watch.signal.reason).toBe(denied);
  });

  it("ends the stream when it has not come back by the time of the next", async () => {
    const { counted, readmit } = counting(1, () => new Promise(() => {}));
    const { watch } = start({ isProtected: true, readmit });
    await expect(read(watch.outbound(silence))).rejects.toMatchObject({
      code: Code.Unauthenticated,
      rawMessage: "Authentication failed.",
    });
    expect(counted.asked).toBe(1);
  });

  it("says nothing about a stream that has ended meanwhile", async () => {
    const answer = Promise.withResolvers<void>();
    const { counted, readmit } = counting(1, () => answer.promise);
    const { watch, call } = start({ isProtected: true, readmit, everyMs: 50 });
    await counted.reached;
    call.abort(new Error("gone"));
    answer.reject(denied);
    await expect(watch.race(Promise.resolve("done"))).resolves.toBe("done");
    expect(watch.signal.reason).toEqual(new Error("gone"));
  });
});
