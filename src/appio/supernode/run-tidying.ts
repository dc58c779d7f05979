import { Code, ConnectError } from "@connectrpc/connect";
import type { NodeWork } from "./message-intake.ts";

/** What a SuperLink says of a run that has ended, ours as Flower's: also `Run is finished. Stopped by user.` */
const finished = /^Run is finished\./;

/**
 * Asks the SuperLink about one run that has had no work on this node for a while, if there is one, and forgets the run
 * if it has ended: nobody tells a node so. Nothing else is a reason to forget, no failure and no other answer. An
 * unknown run is none either: to a node that holds no message of it, our SuperLink answers for a live run as for one
 * that does not exist.
 */
export async function tidyRuns({ fleet, runs, nodeId, onLog }: NodeWork): Promise<void> {
  const runId = await runs.nextToAsk();
  if (runId === undefined) {
    return;
  }
  const answer = await fleet
    .callOnce((options) => fleet.client.getRun({ node: { nodeId }, runId }, options))
    .catch(ConnectError.from);
  if (!(answer instanceof ConnectError) || !isEnd(answer)) {
    await runs.keep(runId);
  } else if (await runs.forget(runId)) {
    onLog(`Forgot run ${runId}, which has finished.`);
  }
}

function isEnd({ code, rawMessage }: ConnectError): boolean {
  return code === Code.PermissionDenied && finished.test(rawMessage);
}
