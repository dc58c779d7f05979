import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, test } from "vitest";
import { objectIdOf } from "../../../src/appio/objects/object-id.ts";
import {
  ObjectMismatchError,
  ObjectNotFoundError,
  ObjectUnavailableError,
  type PullObjectsOptions,
  pullObjects,
  pushObjects,
} from "../../../src/appio/runtime/transfer.ts";
import { virtualTime } from "./virtual-time.ts";

const contentOf = (index: number) => Uint8Array.of(index);
const idOf = (index: number) => objectIdOf(contentOf(index));
const indexes = [0, 1, 2, 3, 4, 5];
const ids = indexes.map(idOf);

/** A promise and its resolver, for work that ends when the test says so. */
function gate() {
  let open = () => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

describe("pushing", () => {
  test("goes in order, two at a time, and makes contents when their turn comes", async () => {
    const gates = indexes.map(gate);
    const made: number[] = [];
    const started: string[] = [];
    function* contents() {
      for (const index of indexes) {
        made.push(index);
        yield [idOf(index), contentOf(index)] as const;
      }
    }
    const done = pushObjects(contents(), async (id) => {
      started.push(id);
      await gates[ids.indexOf(id)]?.opened;
      return true;
    });
    for (const index of indexes) {
      await turn();
      expect(made).toEqual(indexes.slice(0, index + 2));
      expect(started).toEqual(ids.slice(0, index + 2));
      gates[index]?.open();
    }
    await done;
  });

  test("stops when an object is not taken", async () => {
    const pushed: string[] = [];
    const done = pushObjects(
      indexes.map((index) => [idOf(index), contentOf(index)] as const),
      async (id) => {
        pushed.push(id);
        return id !== ids[1];
      },
    );
    await expect(done).rejects.toBeInstanceOf(ObjectNotFoundError);
    await expect(done).rejects.toThrow(`Object with ID '${ids[1]}' could not be found.`);
    expect(pushed.length).toBeLessThan(4);
  });

  test("the first failure ends the others and is the one that is thrown", async () => {
    const failure = new ConnectError("gone", Code.Internal);
    let ended = false;
    const done = pushObjects(
      indexes.map((index) => [idOf(index), contentOf(index)] as const),
      async (id, _, signal) => {
        if (id === ids[0]) {
          throw failure;
        }
        await new Promise((_, reject) =>
          signal.addEventListener("abort", () => reject(signal.reason)),
        );
        ended = true;
        return true;
      },
    );
    await expect(done).rejects.toBe(failure);
    expect(ended).toBe(false);
  });

  test("ends with the signal's reason", async () => {
    const controller = new AbortController();
    const pushed: string[] = [];
    const done = pushObjects(
      indexes.map((index) => [idOf(index), contentOf(index)] as const),
      async (id) => {
        pushed.push(id);
        controller.abort(new Error("enough"));
        return true;
      },
      { signal: controller.signal },
    );
    await expect(done).rejects.toThrow("enough");
    expect(pushed).toEqual([ids[0]]);
    await expect(pushObjects([], async () => true, { signal: controller.signal })).rejects.toThrow(
      "enough",
    );
  });

  test.each([0, -1, 0.5])("refuses %d at a time", async (maxConcurrentPushes) => {
    await expect(pushObjects([], async () => true, { maxConcurrentPushes })).rejects.toThrow(
      `the number of concurrent transfers must be a positive integer, not ${maxConcurrentPushes}`,
    );
  });
});

const available = (index: number) => ({
  objectFound: true,
  objectAvailable: true,
  objectContent: contentOf(index),
});
const announced = { objectFound: true, objectAvailable: false, objectContent: new Uint8Array() };
const unknown = { objectFound: false, objectAvailable: false, objectContent: new Uint8Array() };

/** Pulls on a clock of the test's own, whose jitter is none. */
function pullOnOwnClock(
  pull: (index: number, tries: number) => typeof announced,
  options: PullObjectsOptions = {},
) {
  const time = virtualTime();
  const tries = new Map<string, number>();
  const pullObject = async (id: string) => {
    const count = (tries.get(id) ?? 0) + 1;
    tries.set(id, count);
    return pull(ids.indexOf(id), count);
  };
  const done = pullObjects(ids, pullObject, {
    now: time.now,
    sleep: time.sleep,
    random: () => 0.5,
    ...options,
  });
  return { time, tries, done };
}

/** Contract 7.7; case 66. */
describe("pulling", () => {
  test("returns all contents by id, each asked for once", async () => {
    const { time, tries, done } = pullOnOwnClock(available);
    expect(await time.until(done)).toEqual(
      new Map(indexes.map((index) => [idOf(index), contentOf(index)])),
    );
    expect(Array.from(tries.values())).toEqual([1, 1, 1, 1, 1, 1]);
  });

  test("asks for an id once, however often it is given", async () => {
    let calls = 0;
    await pullObjects([idOf(1), idOf(1)], async () => {
      calls += 1;
      return available(1);
    });
    expect(calls).toBe(1);
  });

  test("asks again for what is announced, after 1, 2, 4, 8, 10, 10 ... s", async () => {
    const { time, done } = pullOnOwnClock((index, tries) =>
      index === 3 && tries <= 6 ? announced : available(index),
    );
    expect((await time.until(done)).size).toBe(6);
    expect(time.waits).toEqual([1000, 2000, 4000, 8000, 10_000, 10_000]);
  });

  test("each wait is up to 20 % shorter or longer", async () => {
    const jitter = [0, 1, 0.75];
    const { time, done } = pullOnOwnClock(
      (index, tries) => (index === 3 && tries <= 3 ? announced : available(index)),
      { random: () => jitter.shift() ?? 0.5 },
    );
    await time.until(done);
    expect(time.waits).toEqual([800, 2400, 4400]);
  });

  test("case 66: an id that was never announced is a permanent failure", async () => {
    const { time, tries, done } = pullOnOwnClock((index) =>
      index === 2 ? unknown : available(index),
    );
    const settled = time.until(done);
    await expect(settled).rejects.toBeInstanceOf(ObjectNotFoundError);
    await expect(settled).rejects.toThrow(`Object with ID '${ids[2]}' could not be found.`);
    expect(tries.get(idOf(2))).toBe(1);
    expect(time.waits).toEqual([]);
  });

  test("case 66: an object that does not come in 3 tries is unavailable", async () => {
    const { time, tries, done } = pullOnOwnClock(
      (index) => (index === 0 ? announced : available(index)),
      { maxTriesPerObject: 3 },
    );
    const settled = time.until(done);
    await expect(settled).rejects.toBeInstanceOf(ObjectUnavailableError);
    await expect(settled).rejects.toThrow(`Object with ID '${ids[0]}' is not yet available.`);
    expect(tries.get(idOf(0))).toBe(3);
    expect(time.waits).toEqual([1000, 2000]);
  });

  test("case 66: or in the time that there is", async () => {
    const { time, tries, done } = pullOnOwnClock(() => announced, { maxTimeMs: 6000 });
    await expect(time.until(done)).rejects.toBeInstanceOf(ObjectUnavailableError);
    expect(tries.get(idOf(0))).toBe(4);
    expect(time.now()).toBe(7000);
  });

  test("by default it asks 500 times, or for two hours", async () => {
    const { time, tries, done } = pullOnOwnClock(() => announced);
    await expect(time.until(done)).rejects.toBeInstanceOf(ObjectUnavailableError);
    expect(tries.get(idOf(0))).toBe(500);
    const slow = pullOnOwnClock(() => announced, { maxTriesPerObject: 10_000 });
    await expect(slow.time.until(slow.done)).rejects.toBeInstanceOf(ObjectUnavailableError);
    expect(slow.time.now()).toBeGreaterThanOrEqual(7_200_000);
    expect(slow.time.now()).toBeLessThan(7_200_000 + 10_000);
  });

  test("any other error ends it at once", async () => {
    const failure = new ConnectError("no", Code.Internal);
    const { time, done } = pullOnOwnClock(() => {
      throw failure;
    });
    await expect(time.until(done)).rejects.toBe(failure);
  });

  test("one failure ends the waiting for the others", async () => {
    const { time, done } = pullOnOwnClock((index, tries) => {
      if (index === 1 && tries === 2) {
        return unknown;
      }
      return announced;
    });
    await expect(time.until(done)).rejects.toBeInstanceOf(ObjectNotFoundError);
    expect(time.now()).toBe(1000);
  });

  test("a content that is not the object's is refused", async () => {
    const { time, done } = pullOnOwnClock((index) => available(index + 1));
    const settled = time.until(done);
    await expect(settled).rejects.toBeInstanceOf(ObjectMismatchError);
    await expect(settled).rejects.toThrow(
      `The content that was received for object '${ids[0]}' has another ID.`,
    );
  });

  test("the signal ends the waiting", async () => {
    const controller = new AbortController();
    const { time, done } = pullOnOwnClock(
      () => {
        queueMicrotask(() => controller.abort(new Error("enough")));
        return announced;
      },
      { signal: controller.signal },
    );
    await expect(time.until(done)).rejects.toThrow("enough");
  });
});
