import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, inject, it } from "vitest";
import { descriptorFacts } from "./descriptor-facts.ts";

const execute = promisify(execFile);
const root = fileURLToPath(new URL("../..", import.meta.url));
const script = fileURLToPath(new URL("python/dump_descriptors.py", import.meta.url));
const commands = inject("flowerCommands");

/** What only the released protos have: nothing of it is part of AppIo or Fleet as we serve them. */
const onlyFlowers = [
  // For the operator's Control API of Flower, which is not ours.
  "message flwr.proto.NodeInfo",
  // The legacy streaming service, in the file that also has Scalar.
  "service flwr.proto.FlowerService",
  "message flwr.proto.ServerMessage",
  "message flwr.proto.ClientMessage",
  "message flwr.proto.Parameters",
  "message flwr.proto.Status",
  "value flwr.proto.Code",
  "value flwr.proto.Reason",
];

/** What only ours have: the service that the release before has, and that nobody starts. */
const onlyOurs = ["service flwr.proto.SimulationIo"];

/** The facts that belong to none of the named messages and services. */
function except(
  facts: ReadonlyMap<string, string>,
  names: readonly string[],
): Record<string, string> {
  const owners = names.map((name) => name.split(" ")[1]);
  const isExcepted = (fact: string) =>
    owners.some((owner) => new RegExp(`^\\S+ ${owner}([./]|$)`).test(fact));
  return Object.fromEntries([...facts].filter(([fact]) => !isExcepted(fact)));
}

describe.skipIf(commands === undefined)("the descriptors", () => {
  it("are those of the release, field by field", async () => {
    const directory = await mkdtemp(join(tmpdir(), "countersign-descriptors-"));
    try {
      const flowers = join(directory, "flower.binpb");
      const ours = join(directory, "ours.binpb");
      await execute(join(commands ?? "", "python"), [script, flowers]);
      await execute("npx", ["--no-install", "buf", "build", "-o", ours], { cwd: root });
      const [theirFacts, ourFacts] = [
        descriptorFacts(await readFile(flowers), "flwr.proto."),
        descriptorFacts(await readFile(ours), "flwr.proto."),
      ];
      for (const name of onlyFlowers.filter((each) => !each.startsWith("value"))) {
        expect(theirFacts.has(name), name).toBe(true);
      }
      expect(except(ourFacts, onlyOurs)).toEqual(except(theirFacts, onlyFlowers));
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  });
});
