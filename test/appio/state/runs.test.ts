import { create } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { ContextSchema } from "../../../gen/flwr/proto/message_pb.ts";
import { createLastingStore } from "../../store.ts";
import { createClock, createWorld, startMs } from "./world.ts";

const noDetails = { subStatus: "", details: "" };
const completed = { status: "finished", subStatus: "completed", details: "" };
const failed = { status: "finished", subStatus: "failed", details: "broken" };

describe("claiming a run", () => {
  it("case 19: grants a pending run one token, and nobody another", async () => {
    await using world = await createWorld();
    const runId = await world.pendingRun();
    const token = await world.state.runs.claim(runId);
    expect(token).toMatch(/^[0-9a-f]{256}$/);
    expect(await world.state.runs.claim(runId)).toBeUndefined();
    expect((await world.state.runs.find(runId))?.status?.status).toBe("starting");
    expect(await world.authority.verify(token ?? "")).toMatchObject({ runId });
  });

  it("grants nothing for unknown, running and finished runs, and leaves no token behind", async () => {
    await using world = await createWorld();
    const { runId } = await world.runningRun();
    await world.state.runs.updateStatus(runId, completed);
    expect(await world.state.runs.claim(runId)).toBeUndefined();
    expect(await world.state.runs.claim(12345n)).toBeUndefined();
    expect(await world.state.runs.claim(0n)).toBeUndefined();
    world.clock.advance(31);
    expect(await world.authority.takeExpired()).toEqual([]);
  });

  it("grants one of fifty claims made at once", async () => {
    await using world = await createWorld();
    const runId = await world.pendingRun();
    const claims = await Promise.all(
      Array.from({ length: 50 }, () => world.state.runs.claim(runId)),
    );
    expect(claims.filter((token) => token !== undefined)).toHaveLength(1);
  });

  it("case 24: lists exactly what it would grant, oldest first", async () => {
    await using world = await createWorld();
    const first = await world.pendingRun();
    const second = await world.pendingRun();
    const stopped = await world.pendingRun();
    await world.startingRun();
    await world.runningRun();
    await world.state.runs.stop(stopped);
    expect(await world.state.runs.listClaimable()).toEqual([first, second]);
    for (const runId of await world.state.runs.listClaimable()) {
      expect(await world.state.runs.claim(runId)).toBeDefined();
    }
    expect(await world.state.runs.listClaimable()).toEqual([]);
  });
});

describe("starting a run", () => {
  it("cases 20 and 21: hands the inputs out once", async () => {
    await using world = await createWorld();
    const { runId } = await world.startingRun();
    const { context, run, fab } = await world.state.inputs.start(runId);
    expect(context).toMatchObject({ runId, nodeId: 1n, state: { items: [] } });
    expect(run).toMatchObject({ runId, fabHash: fab.hashStr, status: { status: "running" } });
    expect(new TextDecoder().decode(fab.content)).toBe("an app bundle");
    await expect(world.state.inputs.start(runId)).rejects.toMatchObject({
      code: Code.FailedPrecondition,
      rawMessage: `Failed to start run ${runId}`,
    });
  });

  it("starts no run that was not claimed, and none that has finished", async () => {
    await using world = await createWorld();
    const pending = await world.pendingRun();
    const { runId: stopped } = await world.startingRun();
    await world.state.runs.stop(stopped);
    for (const runId of [pending, stopped, 99n]) {
      await expect(world.state.inputs.start(runId)).rejects.toMatchObject({
        code: Code.FailedPrecondition,
      });
    }
    expect((await world.state.runs.find(pending))?.status?.status).toBe("pending");
  });

  it("case 67: of many starts at once exactly one succeeds", async () => {
    await using world = await createWorld();
    const { runId } = await world.startingRun();
    const starts = await Promise.allSettled(
      Array.from({ length: 20 }, () => world.state.inputs.start(runId)),
    );
    expect(starts.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
  });

  it("keeps the context of a running run only", async () => {
    await using world = await createWorld();
    const { runId } = await world.runningRun();
    const context = create(ContextSchema, { runId, nodeId: 1n, nodeConfig: {} });
    await world.state.inputs.saveContext(runId, { ...context, nodeId: 7n });
    expect((await world.state.inputs.findContext(runId))?.nodeId).toBe(7n);
    await world.state.runs.updateStatus(runId, completed);
    await expect(world.state.inputs.saveContext(runId, context)).rejects.toMatchObject({
      code: Code.PermissionDenied,
      rawMessage: "Run is finished.",
    });
    expect((await world.state.inputs.findContext(runId))?.nodeId).toBe(7n);
  });
});

describe("the status of a run", () => {
  it("case 33: refuses to stand still, to jump and to complete what never ran", async () => {
    await using world = await createWorld();
    const runId = await world.pendingRun();
    for (const requested of [
      { status: "pending", ...noDetails },
      { status: "running", ...noDetails },
      completed,
    ]) {
      await expect(world.state.runs.updateStatus(runId, requested)).rejects.toMatchObject({
        code: Code.FailedPrecondition,
      });
    }
    expect((await world.state.runs.find(runId))?.status?.status).toBe("pending");
  });

  it("case 33: lets pending, starting and running runs fail", async () => {
    await using world = await createWorld();
    const runIds = [
      await world.pendingRun(),
      (await world.startingRun()).runId,
      (await world.runningRun()).runId,
    ];
    for (const runId of runIds) {
      await world.state.runs.updateStatus(runId, failed);
      expect((await world.state.runs.find(runId))?.status).toMatchObject(failed);
    }
  });

  it("cases 25 and 34: moves step by step, then refuses everything", async () => {
    await using world = await createWorld();
    const runId = await world.pendingRun();
    await world.state.runs.updateStatus(runId, { status: "starting", ...noDetails });
    await world.state.runs.updateStatus(runId, { status: "running", ...noDetails });
    await world.state.runs.updateStatus(runId, completed);
    const before = await world.state.runs.find(runId);
    for (const requested of [failed, completed, { status: "running", ...noDetails }]) {
      await expect(world.state.runs.updateStatus(runId, requested)).rejects.toMatchObject({
        code: Code.PermissionDenied,
        rawMessage: "Run is finished.",
      });
    }
    expect(await world.state.runs.stop(runId)).toBe(false);
    expect(await world.state.runs.find(runId)).toEqual(before);
  });

  it("checks the sub-status against the new status", async () => {
    await using world = await createWorld();
    const { runId } = await world.runningRun();
    for (const requested of [
      { status: "finished", ...noDetails },
      { status: "finished", subStatus: "sideways", details: "" },
      { status: "ready", ...noDetails },
      { status: "", ...noDetails },
    ]) {
      await expect(world.state.runs.updateStatus(runId, requested)).rejects.toMatchObject({
        code: Code.FailedPrecondition,
      });
    }
    const { runId: starting } = await world.startingRun();
    await expect(
      world.state.runs.updateStatus(starting, {
        status: "running",
        subStatus: "completed",
        details: "",
      }),
    ).rejects.toMatchObject({ code: Code.FailedPrecondition });
  });

  it("answers NotFound for a run that does not exist", async () => {
    await using world = await createWorld();
    await expect(world.state.runs.updateStatus(5n, failed)).rejects.toMatchObject({
      code: Code.NotFound,
    });
    await expect(world.state.runs.stop(5n)).rejects.toMatchObject({ code: Code.NotFound });
    await expect(world.state.runs.assertRunning(5n)).rejects.toMatchObject({ code: Code.NotFound });
    expect(await world.state.runs.find(5n)).toBeUndefined();
    expect(await world.state.runs.federationOptions(5n)).toBeUndefined();
  });

  it("keeps token and objects when the change is refused", async () => {
    await using world = await createWorld();
    const { runId, token } = await world.startingRun();
    await expect(world.state.runs.updateStatus(runId, completed)).rejects.toMatchObject({
      code: Code.FailedPrecondition,
    });
    expect(await world.authority.verify(token)).toMatchObject({ runId });
    await world.state.inputs.start(runId);
    const draft = await world.send(runId, await world.onlineNode());
    await expect(
      world.state.runs.updateStatus(runId, { status: "running", ...noDetails }),
    ).rejects.toMatchObject({ code: Code.FailedPrecondition });
    expect(await world.state.objects.get(runId, draft.id)).toBeDefined();
  });

  it("case 17: takes token, messages and objects along when it ends", async () => {
    await using world = await createWorld();
    const { runId, token } = await world.runningRun();
    const node = await world.onlineNode();
    await world.send(runId, node);
    await world.state.runs.updateStatus(runId, completed);
    expect(await world.authority.verify(token)).not.toMatchObject({ runId });
    expect(await world.state.instructions.take(node)).toBeUndefined();
    for (const table of ["instruction", "reply", "run_object", "object", "object_content"]) {
      expect(await countRows(world, table)).toBe(0);
    }
  });

  it("case 23: says who stopped it", async () => {
    await using world = await createWorld();
    const { runId, token } = await world.runningRun();
    expect(await world.state.runs.stop(runId)).toBe(true);
    await expect(world.state.runs.assertRunning(runId)).rejects.toMatchObject({
      code: Code.PermissionDenied,
      rawMessage: "Run is finished. Stopped by user.",
    });
    expect(await world.authority.verify(token)).not.toMatchObject({ runId });
  });
});

describe("a run whose token expires", () => {
  const noHeartbeat = {
    status: "finished",
    subStatus: "failed",
    details: "No heartbeat received from the run.",
  };

  it("case 32: has failed at the instant of expiry, whenever that is noticed", async () => {
    await using world = await createWorld();
    const { runId } = await world.startingRun();
    world.clock.advance(500);
    const run = await world.state.runs.find(runId);
    expect(run?.status).toMatchObject(noHeartbeat);
    expect(run?.finishedAt).toBe("2026-11-23T00:00:30+00:00");
  });

  it("case 32: refuses a status update that comes too late", async () => {
    await using world = await createWorld();
    const { runId } = await world.runningRun();
    world.clock.advance(31);
    await expect(world.state.runs.updateStatus(runId, completed)).rejects.toMatchObject({
      code: Code.PermissionDenied,
      rawMessage: "Run is finished.",
    });
    expect((await world.state.runs.list([runId]))[0]?.status).toMatchObject(noHeartbeat);
  });

  it("lives on heartbeats", async () => {
    await using world = await createWorld();
    const { runId, token } = await world.runningRun();
    const claims = await world.authority.verify(token);
    if (claims === undefined || !("tokenDigest" in claims)) {
      throw new Error("the token must be live");
    }
    world.clock.advance(29);
    expect(await world.authority.extend(claims.tokenDigest)).toBe(true);
    world.clock.advance(59);
    await world.state.runs.assertRunning(runId);
    world.clock.advance(2);
    await expect(world.state.runs.assertRunning(runId)).rejects.toMatchObject({
      rawMessage: "Run is finished.",
    });
    expect(await world.authority.extend(claims.tokenDigest)).toBe(false);
  });

  it("does not change once it has finished", async () => {
    await using world = await createWorld();
    const { runId } = await world.runningRun();
    await world.state.runs.updateStatus(runId, completed);
    const before = await world.state.runs.find(runId);
    expect(await world.authority.issue(runId), "behind the state's back").toBeDefined();
    world.clock.advance(31);
    expect(await world.state.runs.find(runId)).toEqual(before);
  });

  it("has failed also when no process was there to see it", async () => {
    const store = createLastingStore();
    const clock = createClock();
    const first = await createWorld(store, clock);
    const { runId, token } = await first.runningRun();
    await first.database.close();
    clock.advance(3600);
    await using second = await createWorld(store, clock);
    expect(await second.authority.verify(token)).not.toMatchObject({ runId });
    const run = await second.state.runs.find(runId);
    expect(run?.status).toMatchObject(noHeartbeat);
    expect(run?.finishedAt).toBe("2026-11-23T00:00:30+00:00");
  });
});

describe("creating runs", () => {
  it("creates several of one bundle, newest listed first, with ids of their own", async () => {
    await using world = await createWorld();
    const runIds = await world.state.runs.create({
      fab: new Uint8Array([1]),
      count: 3,
      overrideConfig: { rounds: scalar(7n) },
    });
    expect(new Set(runIds).size).toBe(3);
    const listed = await world.state.runs.list();
    expect(listed.map(({ runId }) => runId)).toEqual(runIds.toReversed());
    expect(listed[0]).toMatchObject({
      runType: "serverapp",
      federation: "@none/default",
      pendingAt: "2026-11-23T00:00:00+00:00",
      startingAt: "",
      overrideConfig: { rounds: { scalar: { case: "sint64", value: 7n } } },
    });
    expect(startMs).toBe(Date.parse("2026-11-23T00:00:00Z"));
  });

  it("refuses what is out of range and creates nothing", async () => {
    await using world = await createWorld();
    const fab = new Uint8Array([1]);
    for (const runs of [
      { fab: new Uint8Array() },
      { fab: new Uint8Array(10_485_761) },
      { fab, count: 0 },
      { fab, count: 1.5 },
      { fab, count: 1001 },
      { fab, runType: "batch" },
    ]) {
      await expect(world.state.runs.create(runs)).rejects.toMatchObject({
        code: Code.InvalidArgument,
      });
    }
    expect(await world.state.runs.list()).toEqual([]);
  });
});

function scalar(value: bigint) {
  return {
    $typeName: "flwr.proto.Scalar",
    scalar: { case: "sint64", value },
  } as const;
}

async function countRows(
  world: Awaited<ReturnType<typeof createWorld>>,
  table: string,
): Promise<number> {
  const { query } = world.database.withTables<Record<string, { [column: string]: unknown }>>();
  return (await query.selectFrom(table).selectAll().execute()).length;
}
