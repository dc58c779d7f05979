import { Code } from "@connectrpc/connect";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createSuperLinkWorld, failureOf } from "./world.ts";

let world: Awaited<ReturnType<typeof createSuperLinkWorld>>;

beforeEach(async () => {
  world = await createSuperLinkWorld();
});
afterEach(() => world.link.close());

const fab = new Uint8Array([1]);

describe("the operator's API", () => {
  it("is the operator's alone", async () => {
    const { runId } = await world.runningRun();
    const token = { headers: { "countersign-operator-token": "operator-of-the-test" } };
    for (const options of [{}, token]) {
      for (const call of [
        () => world.stranger.startRuns({ fab }, options),
        () => world.stranger.listRuns({}, options),
        () => world.stranger.stopRun({ runId }, options),
        () => world.stranger.getDecisions({}, options),
        () => collect(world.stranger.streamLogs({ runId }, options)),
      ]) {
        expect(await failureOf(call())).toEqual({
          code: Code.Unauthenticated,
          text: "Authentication failed.",
        });
      }
    }
    expect((await world.state.runs.find(runId))?.status?.status).toBe("running");
  });

  it("creates and lists runs, newest first", async () => {
    const { runIds } = await world.control.startRuns({ fab, count: 2 });
    const { runs } = await world.control.listRuns({});
    expect(runs.map(({ runId }) => runId)).toEqual(runIds.toReversed());
    expect(runs[0]).toMatchObject({ runType: "serverapp", status: { status: "pending" } });
    const one = await world.control.listRuns({ runIds: runIds.slice(0, 1) });
    expect(one.runs.map(({ runId }) => runId)).toEqual(runIds.slice(0, 1));
    expect((await world.control.listRuns({ runIds: [5n] })).runs).toEqual([]);
  });

  it("keeps what the operator says of the bundle, by which Flower's ClientApps find it", async () => {
    const { runIds } = await world.control.startRuns({
      fab,
      fabId: "publisher/app",
      fabVersion: "1.2.3",
    });
    const { runs } = await world.control.listRuns({ runIds });
    expect(runs[0]).toMatchObject({ fabId: "publisher/app", fabVersion: "1.2.3" });
  });

  it("takes a bundle of 10 MiB and no more", async () => {
    await world.control.startRuns({ fab: new Uint8Array(10_485_760) });
    expect(
      await failureOf(world.control.startRuns({ fab: new Uint8Array(10_485_761) })),
    ).toMatchObject({ code: Code.InvalidArgument });
    expect(await failureOf(world.control.startRuns({ fab, runType: "batch" }))).toMatchObject({
      code: Code.InvalidArgument,
    });
    expect(
      await failureOf(world.control.startRuns({ fab, federationOptions: { backend: {} } })),
    ).toMatchObject({ code: Code.InvalidArgument });
  });

  it("stops a run once", async () => {
    const { runId } = await world.runningRun();
    expect((await world.control.stopRun({ runId })).stopped).toBe(true);
    expect((await world.control.stopRun({ runId })).stopped).toBe(false);
    expect((await world.control.listRuns({})).runs[0]?.status).toMatchObject({
      status: "finished",
      subStatus: "stopped",
    });
    expect(await failureOf(world.control.stopRun({ runId: 5n }))).toMatchObject({
      code: Code.NotFound,
    });
  });

  it("follows a log to the end of the run", async () => {
    const { runId, app } = await world.runningRun();
    await app.pushLogs({ logs: ["one\n"] });
    const pages = world.control.streamLogs({ runId, follow: true })[Symbol.asyncIterator]();
    const first = await pages.next();
    expect(first.value).toMatchObject({ logOutput: "one\n" });
    await app.pushLogs({ logs: ["two\n"] });
    expect((await pages.next()).value).toMatchObject({ logOutput: "two\n" });
    await app.pushLogs({ logs: ["three\n"] });
    await app.updateRunStatus({ runStatus: { status: "finished", subStatus: "completed" } });
    expect((await pages.next()).value).toMatchObject({ logOutput: "three\n" });
    expect((await pages.next()).done).toBe(true);
    const afterTimestamp = first.value?.latestTimestamp ?? 0;
    expect(await collect(world.control.streamLogs({ runId, afterTimestamp, follow: true }))).toBe(
      "two\nthree\n",
    );
    expect(await failureOf(collect(world.control.streamLogs({ runId: 5n })))).toMatchObject({
      code: Code.NotFound,
    });
  });

  it("shows what a log has and no more, unless it is to follow it", async () => {
    const { runId, app } = await world.runningRun();
    expect(await collect(world.control.streamLogs({ runId }))).toBe("");
    await app.pushLogs({ logs: ["one\n"] });
    expect(await collect(world.control.streamLogs({ runId }))).toBe("one\n");
  });

  it("counts what the guards allowed and refused on every port", async () => {
    const { runId, app } = await world.runningRun();
    await app.getNodes({});
    await failureOf(world.anybody.getNodes({ runId }));
    await failureOf(world.anybody.getNodes({ runId }));
    await world.onlineNode();
    await failureOf(world.stranger.listRuns({}));
    const { counters } = await world.control.getDecisions({});
    const count = (service: string, method: string) =>
      counters.find((counter) => counter.service === service && counter.method === method);
    expect(count("flwr.proto.ServerAppIo", "GetNodes")).toMatchObject({
      allowed: 1n,
      refused: 2n,
    });
    expect(count("flwr.proto.Fleet", "RegisterNode")).toMatchObject({ allowed: 1n, refused: 0n });
    expect(count("countersign.control.v1.Control", "ListRuns")).toMatchObject({ refused: 1n });
    const names = counters.map(({ service, method }) => `${service}/${method}`);
    expect(new Set(names).size, "each RPC once").toBe(names.length);
  });
});

async function collect(pages: AsyncIterable<{ logOutput: string }>): Promise<string> {
  let text = "";
  for await (const { logOutput } of pages) {
    text += logOutput;
  }
  return text;
}
