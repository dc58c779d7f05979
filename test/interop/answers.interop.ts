import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { SuperLink } from "../../src/appio/superlink/superlink.ts";
import { Flower, type FlowerSuperLink, hasFlower, type Outcomes } from "./flower.ts";
import { addressOf, openSuperLink, openSuperNode, startRun } from "./ours.ts";

/** What Flower answers and what we do, by name of the case; where they differ, on purpose. */
type Differences = Readonly<Record<string, readonly [flowers: unknown, ours: unknown]>>;

const malformed = ["UNKNOWN", "INVALID_ARGUMENT"] as const;
const refused = "UNAUTHENTICATED: Authentication failed.";
const denied = "PERMISSION_DENIED: Permission denied.";

const serverAppIoDifferences: Differences = {
  // Launchers need no credential, and are told what a launcher needs.
  "get a pending run: what else it tells": [["federation", "flwr_aid", "pending_at"], []],
  // Refused on the headers: who has no token has nothing decoded.
  "garbage without a token": ["INTERNAL: Exception deserializing request!", refused],
  // A token acts on its own run.
  "another run's body token": ["success: true", denied],
  "another run's id": ["PERMISSION_DENIED: Run is starting.", denied],
  "a message of another run": ["UNKNOWN", "PERMISSION_DENIED"],
  // Validation errors have a code of their own.
  "no messages": malformed,
  "a message without a tree": malformed,
  "a message without an id": malformed,
  "a message to nobody": malformed,
  "a message to the SuperLink": malformed,
  "a message from a node": malformed,
  "a reply": malformed,
  "a message of an unknown type": malformed,
  "a message without time to live": malformed,
  "a message that has expired": malformed,
  "a message of the past": malformed,
  "a message with a bad object id": malformed,
  // A change of status that is refused is not answered as if it had been made.
  "back to pending": ["", "FAILED_PRECONDITION"],
};

const fleetDifferences: Differences = {
  // A known node that speaks for another one is denied, as a token is that speaks for another run.
  "a heartbeat of another node": ["UNAUTHENTICATED", "PERMISSION_DENIED"],
  // A node whose answer was lost may ask again.
  "register again": ["FAILED_PRECONDITION", "node_id"],
  "activate again": ["FAILED_PRECONDITION", "node_id"],
  // A key activates itself only.
  "activate another's key": ["node_id", "PERMISSION_DENIED"],
  "no replies": malformed,
  "an unknown RPC": ["UNKNOWN", "UNAUTHENTICATED"],
};

const clientAppIoDifferences: Differences = {
  "claim an unknown run": [256, 0],
};

/** Expects the same answers in all cases but those that are said to differ, and those to differ as said. */
function expectSame(
  cases: number,
  flowers: Outcomes,
  ours: Outcomes,
  differences: Differences,
): void {
  expect(Object.keys(flowers)).toHaveLength(cases);
  const [expectedOfFlower, expectedOfUs] = [{ ...flowers }, { ...flowers }];
  for (const [name, [flower, our]] of Object.entries(differences)) {
    expectedOfFlower[name] = flower;
    expectedOfUs[name] = our;
  }
  expect(flowers).toEqual(expectedOfFlower);
  expect(ours).toEqual(expectedOfUs);
}

describe.skipIf(!hasFlower)("to calls that Flower's own clients do not make", () => {
  const opened = new AsyncDisposableStack();
  let flower: Flower;
  let flowers: FlowerSuperLink;
  let ours: SuperLink;
  let startRunAtBoth: () => Promise<readonly [flowers: string, ours: string]>;

  beforeAll(async () => {
    flower = opened.use(await Flower.open());
    ours = opened.use(await openSuperLink());
    flowers = await flower.startSuperLink();
    await flower.connectTo(flowers);
    const bundle = await flower.buildBundle();
    startRunAtBoth = async () => [await flower.startRun(), String(await startRun(ours, bundle))];
  });
  afterAll(() => opened.disposeAsync());

  it("ServerAppIo answers as Flower's does, but for the documented differences", async () => {
    const [one, another] = [await startRunAtBoth(), await startRunAtBoth()];
    const script = "probe_serverappio.py";
    expectSame(
      68,
      await flower.probe(script, flowers.serverAppIo, one[0], another[0]),
      await flower.probe(script, addressOf(ours.serverAppIoUrl), one[1], another[1]),
      serverAppIoDifferences,
    );
  });

  it("Fleet answers as Flower's does, but for the documented differences", async () => {
    const pending = await startRunAtBoth();
    expectSame(
      35,
      await flower.probe("probe_fleet.py", flowers.fleet, pending[0]),
      await flower.probe("probe_fleet.py", addressOf(ours.fleetUrl), pending[1]),
      fleetDifferences,
    );
  });

  it("ClientAppIo answers as Flower's does, but for the documented difference", async () => {
    const flowersNode = await flower.startSuperNode(flowers.fleet, "flower's");
    await using ourNode = await openSuperNode(ours.fleetUrl, "ours");
    expectSame(
      21,
      await flower.probe("probe_clientappio.py", flowersNode.clientAppIo),
      await flower.probe("probe_clientappio.py", addressOf(ourNode.clientAppIoUrl)),
      clientAppIoDifferences,
    );
  });
});
