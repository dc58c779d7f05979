import { describe, expect, it } from "vitest";
import { Flower, hasFlower } from "./flower.ts";
import { addressOf, openEchoExec, openSuperNode, reportsIn, showOnFailure } from "./ours.ts";

describe.skipIf(!hasFlower)("at Flower's SuperLink", () => {
  it("our ServerApp gets from our ClientApps at Flower's node, and from our node, bit for bit, what it sent; and our node forgets the run", async () => {
    await using flower = await Flower.open();
    const superLink = await flower.startSuperLink();
    await flower.connectTo(superLink);
    await using serverApps = openEchoExec("serverapp", `http://${superLink.serverAppIo}`);
    const flowersNode = await flower.startSuperNode(superLink.fleet, "flower's");
    await using appsOfFlowers = openEchoExec("clientapp", `http://${flowersNode.clientAppIo}`);
    // Behind for as long as its signatures allow, so that minutes pass when the clock is put right.
    let secondsBehind = 200;
    const now = () => Date.now() - secondsBehind * 1_000;
    await using ourNode = await openSuperNode(`http://${superLink.fleet}`, "ours", { now });
    const appsOfOurs = flower.startSuperExec("clientapp", addressOf(ourNode.clientAppIoUrl));
    showOnFailure(superLink, serverApps, flowersNode, appsOfFlowers, ourNode, appsOfOurs);
    const runId = await flower.startRun({ "min-nodes": 2 });
    expect(await serverApps.output.find(/^ended: (.*)/)).toBe("completed");
    expect(await flower.statusOf(runId)).toBe("finished:completed");
    const nodes = ["flower's", "ours"];
    expect(reportsIn(await flower.logOf(runId))).toEqual([
      { round: 1, nodes },
      { round: 2, nodes },
      { stranger: [""] },
      {
        errors: [
          { code: 2, reason: "<class 'RangeError'>:<'boom'>" },
          { code: 2, reason: "<class 'ValueError'>:<'boom'>" },
        ],
      },
    ]);
    secondsBehind = 0;
    expect(await ourNode.output.find(/^Forgot run (\d+), which has finished\.$/)).toBe(runId);
  });

  it("our ServerApp ends when its run is stopped", async () => {
    await using flower = await Flower.open();
    const superLink = await flower.startSuperLink();
    await flower.connectTo(superLink);
    await using serverApps = openEchoExec("serverapp", `http://${superLink.serverAppIo}`);
    showOnFailure(superLink, serverApps);
    const runId = await flower.startRun({ mode: "wait" });
    await serverApps.output.find(/^waiting$/);
    await flower.run("flwr", "stop", runId, "here");
    expect(await serverApps.output.find(/^ended: (.*)/)).toBe("token lost");
    expect(await flower.statusOf(runId)).toBe("finished:stopped");
  });
});
