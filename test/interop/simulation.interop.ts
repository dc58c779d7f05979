import { describe, expect, it } from "vitest";
import { Flower, hasFlower } from "./flower.ts";
import {
  addressOf,
  logged,
  openEchoExec,
  openSuperLink,
  reportsIn,
  showOnFailure,
  startRun,
} from "./ours.ts";

describe.skipIf(!hasFlower)("a simulation", () => {
  it("of ours runs at Flower's SuperLink, with as many nodes as its run is to have", async () => {
    await using flower = await Flower.open();
    const superLink = await flower.startSimulationSuperLink();
    await flower.connectTo(superLink);
    await using simulations = openEchoExec("serverapp", `http://${superLink.serverAppIo}`);
    showOnFailure(superLink, simulations);
    const runId = await flower.startRun(
      { "num-rounds": 1 },
      ...["--federation-config", "num-supernodes=2 client-resources-num-cpus=1"],
    );
    expect(await simulations.output.find(/^ended: (.*)/)).toBe("completed");
    expect(await flower.statusOf(runId)).toBe("finished:completed");
    expect(reportsIn(await flower.logOf(runId))).toContainEqual({ round: 1, nodes: ["0", "1"] });
  });

  // The backend itself, Ray, is left out of the environment for its size.
  it("of Flower's starts at our SuperLink, and comes as far as its backend", async () => {
    await using flower = await Flower.open();
    await using superLink = await openSuperLink();
    const serverApps = flower.startSuperExec("serverapp", addressOf(superLink.serverAppIoUrl));
    showOnFailure(serverApps);
    const runId = await startRun(superLink, await flower.buildBundle(), {
      options: ["--run-type", "simulation", "--federation-option", "num-supernodes=2"],
    });
    await logged(
      superLink,
      runId,
      "`ray` backend selected for simulation, but `ray` is not installed",
    );
  });
});
