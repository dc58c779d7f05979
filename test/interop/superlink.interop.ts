import { describe, expect, it } from "vitest";
import { Flower, hasFlower } from "./flower.ts";
import {
  addressOf,
  allowed,
  finished,
  openEchoExec,
  openSuperLink,
  openSuperNode,
  refusals,
  reports,
  showOnFailure,
  startRun,
  stopRun,
} from "./ours.ts";

/** What becomes of the exception of a ClientApp in Python, and of one in TypeScript. */
const pythonBoom = { code: 2, reason: "<class 'ValueError'>:<'boom'>" };
const typeScriptBoom = { code: 2, reason: "<class 'RangeError'>:<'boom'>" };

describe.skipIf(!hasFlower)("at our SuperLink", () => {
  it("Flower's ServerApp gets from Flower's node and from ours, bit for bit, what it sent", async () => {
    await using flower = await Flower.open();
    await using superLink = await openSuperLink();
    await using ourNode = await openSuperNode(superLink.fleetUrl, "ours");
    await using ourClientApps = openEchoExec("clientapp", ourNode.clientAppIoUrl);
    const flowersNode = await flower.startSuperNode(addressOf(superLink.fleetUrl), "flower's");
    const flowersClientApps = flower.startSuperExec("clientapp", flowersNode.clientAppIo);
    const serverApps = flower.startSuperExec("serverapp", addressOf(superLink.serverAppIoUrl));
    showOnFailure(serverApps, flowersNode, flowersClientApps, ourNode, ourClientApps);
    const runId = await startRun(superLink, await flower.buildBundle(), {
      config: { "min-nodes": 2 },
    });
    expect(await finished(superLink, runId)).toMatchObject({ subStatus: "completed" });
    const nodes = ["flower's", "ours"];
    expect(await reports(superLink, runId)).toEqual([
      { round: 1, nodes },
      { round: 2, nodes },
      { stranger: [""] },
      { errors: [typeScriptBoom, pythonBoom] },
    ]);

    // It takes its leave, and nothing that it or its apps ever asked for was refused.
    await flowersNode.stop();
    expect(await superLink.state.nodes.listOnline()).toHaveLength(1);
    expect(allowed(superLink, "UnregisterNode")).toBe(1);
    expect(allowed(superLink, "SendAppHeartbeat")).toBeGreaterThan(0);
    expect(refusals(superLink)).toBe(0);
  });

  it("our ServerApp gets from Flower's ClientApps at Flower's node and at ours, bit for bit, what it sent", async () => {
    await using flower = await Flower.open();
    await using superLink = await openSuperLink();
    await using serverApps = openEchoExec("serverapp", superLink.serverAppIoUrl);
    await using ourNode = await openSuperNode(superLink.fleetUrl, "ours");
    const appsOfOurs = flower.startSuperExec("clientapp", addressOf(ourNode.clientAppIoUrl));
    const flowersNode = await flower.startSuperNode(addressOf(superLink.fleetUrl), "flower's");
    const appsOfFlowers = flower.startSuperExec("clientapp", flowersNode.clientAppIo);
    showOnFailure(serverApps, ourNode, appsOfOurs, flowersNode, appsOfFlowers);
    const runId = await startRun(superLink, await flower.buildBundle(), {
      config: { "min-nodes": 2 },
    });
    expect(await finished(superLink, runId)).toMatchObject({ subStatus: "completed" });
    const nodes = ["flower's", "ours"];
    expect(await reports(superLink, runId)).toEqual([
      { round: 1, nodes },
      { round: 2, nodes },
      { stranger: [""] },
      { errors: [pythonBoom, pythonBoom] },
    ]);
    expect(refusals(superLink)).toBe(0);
  });

  it("a ServerApp of Flower's that raises fails its run with the reason", async () => {
    await using flower = await Flower.open();
    await using superLink = await openSuperLink();
    const serverApps = flower.startSuperExec("serverapp", addressOf(superLink.serverAppIoUrl));
    showOnFailure(serverApps);
    const runId = await startRun(superLink, await flower.buildBundle(), {
      config: { mode: "fail" },
    });
    expect(await finished(superLink, runId)).toMatchObject({
      subStatus: "failed",
      details: "told to fail",
    });
  });

  it("a ServerApp of Flower's ends when its run is stopped", async () => {
    await using flower = await Flower.open();
    await using superLink = await openSuperLink();
    const runId = await startRun(superLink, await flower.buildBundle(), {
      config: { mode: "wait" },
    });
    const token = (await superLink.state.runs.claim(runId)) ?? "";
    const serverApp = flower.startServerApp(addressOf(superLink.serverAppIoUrl), token);
    showOnFailure(serverApp);
    await serverApp.output.find(/^waiting$/);
    await stopRun(superLink, runId);
    await serverApp.output.find(/Run stopped by user/);
    await serverApp.output.closed;
    expect(await finished(superLink, runId)).toMatchObject({ subStatus: "stopped" });
  });
});
