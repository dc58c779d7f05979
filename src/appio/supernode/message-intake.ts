import { createHash } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import type { Fab } from "../../../gen/flwr/proto/fab_pb.ts";
import { type Context, ContextSchema } from "../../../gen/flwr/proto/message_pb.ts";
import type { Run } from "../../../gen/flwr/proto/run_pb.ts";
import { describeBundle } from "../launch/bundle-description.ts";
import {
  type ConfigValues,
  configFromScalars,
  fuseConfig,
  scalarsFromConfig,
} from "../runtime/config-values.ts";
import { RunNotRunningError } from "../runtime/retry.ts";
import { type PullObjectsOptions, pullObjects } from "../runtime/transfer.ts";
import type { FleetLink } from "./fleet-link.ts";
import type { NodeInbox, TreedMessage } from "./node-inbox.ts";
import type { NodeRuns } from "./node-runs.ts";

/** What the loops of a node work with. */
export interface NodeWork {
  readonly fleet: FleetLink;
  readonly inbox: NodeInbox;
  readonly runs: NodeRuns;
  readonly nodeId: bigint;
  /** The node's own configuration, which its ClientApps see. */
  readonly nodeConfig: ConfigValues;
  /** How objects are pulled; see `pullObjects`. */
  readonly pulling: PullObjectsOptions;
  readonly signal: AbortSignal;
  /** Receives the node's remarks, one line each. */
  readonly onLog: (line: string) => void;
}

/** The bundle of a run is not what the run says, or cannot be run with the run's configuration. */
class InvalidFabError extends Error {
  override readonly name = "InvalidFabError";
}

/** Objects are stored in batches of this many: a message need not fit into memory twice. */
const pullBatch = 8;

/**
 * Takes in an instruction (contract 8.8): run and bundle when they are new, the message, its objects, the confirmation;
 * then the run's ClientApps see it. What cannot be taken in is answered with an error, where Flower forgets it and the
 * ServerApp waits until the message expires; unless the run has ended, whose messages nobody waits for.
 *
 * @returns whether a reply will follow
 * @throws the signal's reason when it is aborted
 */
export async function takeIn(work: NodeWork, received: TreedMessage): Promise<boolean> {
  const { inbox, signal, onLog } = work;
  const { messageId = "", runId = 0n } = received.message.metadata ?? {};
  const missing = await inbox.receive(received);
  if (missing === undefined) {
    onLog(`Ignored a message that is known or malformed: ${JSON.stringify(messageId)}`);
    return false;
  }
  try {
    await ensureRun(work, runId);
    await pullMissing(work, runId, missing);
    await confirm(work, runId, messageId);
    await inbox.arrived(messageId);
    return true;
  } catch (error) {
    if (signal.aborted || error instanceof RunNotRunningError) {
      await inbox.drop(messageId);
      signal.throwIfAborted();
      onLog(`Dropped message ${messageId}: ${textOf(error)}`);
      return false;
    }
    const code = error instanceof InvalidFabError ? "invalidFab" : "messageUnavailable";
    onLog(`Could not take in message ${messageId}: ${textOf(error)}`);
    await inbox.fail(messageId, code, textOf(error));
    return true;
  }
}

/** Sees to it that a run's description, context and bundle are here, for as long as one of its messages is. */
async function ensureRun(work: NodeWork, runId: bigint): Promise<void> {
  const { runs, nodeId, nodeConfig } = work;
  const known = await runs.find(runId);
  if (known?.hasBundle) {
    return;
  }
  if (known !== undefined) {
    await runs.addBundle(await pullFab(work, known.run));
    return;
  }
  const run = await pullRun(work, runId);
  const fab = await pullFab(work, run);
  const context = create(ContextSchema, {
    runId,
    nodeId,
    nodeConfig: scalarsFromConfig(nodeConfig),
    runConfig: await runConfigOf(run, fab),
    state: {},
  });
  await runs.add({ run, fab, context });
}

async function pullRun({ fleet, nodeId }: NodeWork, runId: bigint): Promise<Run> {
  const { run } = await fleet.call((options) =>
    fleet.client.getRun({ node: { nodeId }, runId }, options),
  );
  if (run === undefined) {
    throw new Error(`The SuperLink does not know run ${runId}.`);
  }
  return run;
}

async function pullFab({ fleet, nodeId }: NodeWork, run: Run): Promise<Fab> {
  const { runId, fabHash: hashStr } = run;
  const { fab } = await fleet.call((options) =>
    fleet.client.getFab({ node: { nodeId }, runId, hashStr }, options),
  );
  if (fab === undefined || createHash("sha256").update(fab.content).digest("hex") !== hashStr) {
    throw new InvalidFabError("The app bundle that arrived is not the run's.");
  }
  return fab;
}

/** The bundle's defaults with the run's overrides; the overrides alone for a bundle of unknown making. */
async function runConfigOf(run: Run, fab: Fab): Promise<Context["runConfig"]> {
  let defaults: ConfigValues;
  try {
    defaults = (await describeBundle(fab.content)).config;
  } catch {
    return run.overrideConfig;
  }
  try {
    return scalarsFromConfig(fuseConfig(defaults, configFromScalars(run.overrideConfig)));
  } catch (error) {
    throw new InvalidFabError(textOf(error));
  }
}

async function pullMissing(
  work: NodeWork,
  runId: bigint,
  missing: readonly string[],
): Promise<void> {
  const { fleet, inbox, nodeId, pulling, signal } = work;
  for (let start = 0; start < missing.length; start += pullBatch) {
    const contents = await pullObjects(
      missing.slice(start, start + pullBatch),
      (objectId, ending) =>
        fleet.call((options) =>
          fleet.client.pullObject(
            { node: { nodeId }, runId, objectId },
            { ...options, signal: ending },
          ),
        ),
      { ...pulling, createSha256: () => createHash("sha256"), signal },
    );
    for (const [objectId, content] of contents) {
      await inbox.storeObject(runId, objectId, content);
    }
  }
}

/** Lets the SuperLink free the objects. They are here, so only the run's end makes a failure matter. */
async function confirm(work: NodeWork, runId: bigint, messageId: string): Promise<void> {
  const { fleet, nodeId, signal, onLog } = work;
  const confirmation = { node: { nodeId }, runId, messageObjectId: messageId };
  try {
    await fleet.call((options) => fleet.client.confirmMessageReceived(confirmation, options));
  } catch (error) {
    if (signal.aborted || error instanceof RunNotRunningError) {
      throw error;
    }
    onLog(`Could not confirm message ${messageId}: ${textOf(error)}`);
  }
}

/** The text of an error, for logs and replies. */
export function textOf(error: unknown): string {
  return error instanceof Error ? error.message : "unknown error";
}
