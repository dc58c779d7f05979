import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { type Ended, run, type Started, start } from "../cli/command-line.ts";
import { Flower, hasFlower } from "./flower.ts";
import {
  addressOf,
  allowed,
  finished,
  openEchoExec,
  openFlowerExec,
  openSuperLink,
  openSuperNode,
  refusals,
  reports,
  reportsIn,
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

  it("a ServerApp of Flower's, started by our SuperExec, ends when its run is stopped", async () => {
    await using flower = await Flower.open();
    await using superLink = await openSuperLink();
    await using serverApps = await openFlowerExec(flower, "serverapp", superLink.serverAppIoUrl);
    showOnFailure(serverApps);
    const runId = await startRun(superLink, await flower.buildBundle(), {
      config: { mode: "wait" },
    });
    await serverApps.output.find(/^waiting$/);
    await stopRun(superLink, runId);
    await serverApps.output.find(/Run stopped by user/);
    await serverApps.output.find(new RegExp(`^exited run ${runId}$`));
    expect(await finished(superLink, runId)).toMatchObject({ subStatus: "stopped" });
  });

  it("the commands start Flower's own apps, whose tokens no output shows", async () => {
    await using flower = await Flower.open();
    const apps = ["--app-runtime", "flower", "--flower-commands", flower.commands];
    const operatorTokenFile = join(flower.home, "operator-token");
    const env = Object.fromEntries(
      Object.entries(flower.env).map(([name, value]) => [name, value ?? ""]),
    );
    const superLink = start(
      [
        ...["superlink", "--database", ":memory:", "--superexec-poll-ms", "200", ...apps],
        ...["--port", "0", "--fleet-port", "0", "--control-port", "0"],
        ...["--operator-token-file", operatorTokenFile],
      ],
      env,
    );
    onTestFinished(async () => void (await stopped(superLink)));
    const { controlUrl, fleetUrl } = await superLink.event("ready", { service: "superlink" });
    const superNode = start(
      [
        ...[
          "supernode",
          "--superlink",
          String(fleetUrl),
          "--port",
          "0",
          "--poll-interval-ms",
          "500",
        ],
        ...["--node-config", "name=ours", "--superexec-poll-ms", "200", ...apps],
      ],
      env,
    );
    onTestFinished(async () => void (await stopped(superNode)));
    await superNode.event("ready", { service: "supernode" });
    const operator = [
      ...["--superlink", String(controlUrl)],
      ...["--operator-token-file", operatorTokenFile],
    ];
    const created = await run(["run", await flower.buildBundle(), ...operator]);
    const runId = created.stdout.trim();
    const followed = await run(["log", runId, "--follow", ...operator]);
    expect(reportsIn(followed.stdout)).toEqual([
      { round: 1, nodes: ["ours"] },
      { round: 2, nodes: ["ours"] },
      { stranger: [""] },
      { errors: [pythonBoom] },
    ]);
    expect((await run(["ls", runId, ...operator])).stdout).toContain("finished: completed");
    for (const { stdout, stderr } of [await stopped(superNode), await stopped(superLink)]) {
      expect(stdout + stderr).not.toMatch(/[0-9a-f]{256}/);
    }
  });
});

function stopped({ child, ended }: Started): Promise<Ended> {
  child.kill("SIGTERM");
  return ended;
}
