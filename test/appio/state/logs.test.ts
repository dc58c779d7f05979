import { Code } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { createWorld, startMs } from "./world.ts";

describe("logs", () => {
  it("are read on from where the reader stopped, with nothing lost or repeated", async () => {
    await using world = await createWorld();
    const { logs } = world.state;
    const runId = await world.pendingRun();
    expect(await logs.after(runId, 0)).toEqual({ text: "", latestTimestamp: 0 });
    await logs.append(runId, "one\n");
    const first = await logs.after(runId, 0);
    expect(first).toEqual({ text: "one\n", latestTimestamp: startMs / 1000 });
    await logs.append(runId, "");
    await logs.append(runId, "two\n");
    await logs.append(runId, "three\n");
    const second = await logs.after(runId, first.latestTimestamp);
    expect(second.text, "entries of one instant").toBe("two\nthree\n");
    expect((await logs.after(runId, second.latestTimestamp)).text).toBe("");
    world.clock.advance(1);
    await logs.append(runId, "four\n");
    expect((await logs.after(runId, second.latestTimestamp)).latestTimestamp).toBe(
      startMs / 1000 + 1,
    );
  });

  it("lose nothing to readers while many write at once", async () => {
    await using world = await createWorld();
    const { logs } = world.state;
    const runId = await world.pendingRun();
    const lines = Array.from({ length: 40 }, (_, index) => `line ${index}\n`);
    const writing = Promise.all(lines.map((line) => logs.append(runId, line))).then(() => true);
    let read = "";
    let last = 0;
    for (let done = false; !done; ) {
      done = await Promise.race([writing, logs.after(runId, last).then(() => false)]);
      const page = await logs.after(runId, last);
      read += page.text;
      last = page.latestTimestamp || last;
    }
    expect(read.split("\n").toSorted()).toEqual(lines.join("").split("\n").toSorted());
  });

  it("keep a line with a character that a database cannot keep", async () => {
    await using world = await createWorld();
    const runId = await world.pendingRun();
    await world.state.logs.append(runId, "a\0b");
    expect((await world.state.logs.after(runId, 0)).text).toBe("a\uFFFDb");
  });

  it("belong to one run", async () => {
    await using world = await createWorld();
    const runId = await world.pendingRun();
    await world.state.logs.append(runId, "mine");
    expect((await world.state.logs.after(await world.pendingRun(), 0)).text).toBe("");
  });

  it("come in pages", async () => {
    await using world = await createWorld();
    const { logs } = world.state;
    const runId = await world.pendingRun();
    const large = "x".repeat(700_000);
    await logs.append(runId, large);
    await logs.append(runId, large);
    const first = await logs.after(runId, 0);
    expect(first.text.length).toBe(700_000);
    expect((await logs.after(runId, first.latestTimestamp)).text.length).toBe(700_000);
  });

  it("take nothing from a finished or an unknown run", async () => {
    await using world = await createWorld();
    const { runId } = await world.runningRun();
    await world.state.logs.append(runId, "before");
    await world.state.runs.stop(runId);
    await expect(world.state.logs.append(runId, "after")).rejects.toMatchObject({
      code: Code.PermissionDenied,
      rawMessage: "Run is finished. Stopped by user.",
    });
    await expect(world.state.logs.append(4n, "nobody's")).rejects.toMatchObject({
      code: Code.NotFound,
    });
    expect((await world.state.logs.after(runId, 0)).text).toBe("before");
  });
});
