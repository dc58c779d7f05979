import { Code, ConnectError } from "@connectrpc/connect";
import { service } from "../../guard/service.ts";
import { fleetPolicy } from "../policy.ts";
import { freeBytes } from "../state/free-bytes.ts";
import type { Instructions } from "../state/instructions.ts";
import type { LinkState } from "../state/link-state.ts";
import {
  defaultMaxInlineBytes,
  type InlineSizeOptions,
  maxMessagesBytes,
} from "./message-sizes.ts";

/** Flower's answer to a pushed reply asks the node to come back after this many seconds. */
const reconnectSeconds = 5n;

/** The key of a refused reply in a response's results: what Flower's servers write there. */
const refusedReply = "None";

/** Options of {@link fleetService}. */
export interface FleetOptions extends InlineSizeOptions {
  /**
   * Whether nodes may register and unregister themselves. Default: true; false
   * where the operator registers their keys.
   */
  readonly selfRegistration?: boolean;
}

/**
 * Fleet on a SuperLink's state: the API of SuperNodes. RPCs act for the node
 * whose key has signed the call, whatever the request says. The bytes of a large
 * PushObject may be gone from the request when they are stored, also for an
 * interceptor that has it.
 */
export function fleetService(
  state: LinkState,
  { maxInlineBytes = defaultMaxInlineBytes, selfRegistration = true }: FleetOptions = {},
) {
  const { runs, inputs, nodes, instructions, replies, objects } = state;
  /**
   * A node reaches a run only while it holds a message of it, or may still push
   * the reply's objects: every other run is to it as one that does not exist.
   */
  const assertServing = async (
    nodeId: bigint,
    runId: bigint,
    reaches: Instructions["holds"] = instructions.holds,
  ): Promise<void> => {
    if (!(await reaches(nodeId, runId))) {
      // First what is true of the run itself, as Flower's nodes know it.
      await runs.assertRunning(runId).catch((reason: unknown) => {
        throw ConnectError.from(reason).code === Code.NotFound ? unknownRun(runId) : reason;
      });
      throw unknownRun(runId);
    }
  };
  return service(
    fleetPolicy,
    {
      async registerNode(_request, { caller }) {
        assertSelfRegistration(selfRegistration);
        return { nodeId: await nodes.register(caller.publicKey) };
      },
      async activateNode({ heartbeatInterval }, { caller }) {
        return { nodeId: await nodes.activate(caller.publicKey, heartbeatInterval) };
      },
      async deactivateNode(_request, { caller }) {
        await nodes.deactivate(caller.nodeId);
        return {};
      },
      async unregisterNode(_request, { caller }) {
        assertSelfRegistration(selfRegistration);
        await nodes.unregister(caller.nodeId);
        return {};
      },
      async sendNodeHeartbeat({ heartbeatInterval }, { caller }) {
        return { success: await nodes.heartbeat(caller.nodeId, heartbeatInterval) };
      },
      async pullMessages(_request, { caller }) {
        const taken = await instructions.take(caller.nodeId);
        return taken === undefined
          ? {}
          : { messagesList: [taken.message], messageObjectTrees: [taken.tree] };
      },
      async pushMessages({ messagesList, messageObjectTrees, clientappRuntimeList }) {
        const [message] = messagesList;
        if (message === undefined) {
          const text = "Malformed PushMessages: there are no messages";
          throw new ConnectError(text, Code.InvalidArgument);
        }
        const [tree] = messageObjectTrees;
        const pushed = await replies.push(message, tree, clientappRuntimeList[0] ?? 0);
        return {
          reconnect: { reconnect: reconnectSeconds },
          results: { [pushed.messageId ?? refusedReply]: 0 },
          objectsToPush: pushed.objectsToPush,
        };
      },
      async getRun({ runId }, { caller }) {
        await assertServing(caller.nodeId, runId);
        await runs.assertRunning(runId);
        const run = await runs.find(runId);
        return run === undefined ? {} : { run };
      },
      async getFab({ runId, hashStr }, { caller }) {
        await assertServing(caller.nodeId, runId);
        await runs.assertRunning(runId);
        const run = await runs.find(runId);
        // A run's nodes get the bundle of that run and no other.
        const fab = run?.fabHash === hashStr ? await inputs.findFab(hashStr) : undefined;
        if (fab === undefined) {
          throw new ConnectError(`FAB with hash ${hashStr} not found.`, Code.NotFound);
        }
        return { fab };
      },
      async pushObject({ runId, objectId, objectContent }, { caller }) {
        await assertServing(caller.nodeId, runId, instructions.mayPush);
        const bytesReceived = objectContent.length;
        const stored = await objects.put(runId, objectId, objectContent);
        await runs.addTraffic(runId, { bytesReceived });
        if (stored) {
          freeBytes(objectContent);
        }
        return { stored };
      },
      async pullObject({ runId, objectId }, { caller }) {
        await assertServing(caller.nodeId, runId);
        const found = await objects.get(runId, objectId);
        if (found?.content === undefined) {
          return { objectFound: found !== undefined, objectAvailable: false };
        }
        await runs.addTraffic(runId, { bytesSent: found.content.length });
        return { objectFound: true, objectAvailable: true, objectContent: found.content };
      },
      async confirmMessageReceived({ runId, messageObjectId }, { caller }) {
        await assertServing(caller.nodeId, runId);
        await instructions.confirm(caller.nodeId, runId, messageObjectId);
        return {};
      },
    },
    { readMaxBytes: { pushObject: maxInlineBytes, pushMessages: maxMessagesBytes } },
  );
}

function unknownRun(runId: bigint): ConnectError {
  return new ConnectError(`Run ID not found: ${runId}`, Code.PermissionDenied);
}

/** @throws ConnectError FailedPrecondition, as Flower's SuperLink does where it knows its nodes. */
function assertSelfRegistration(isAllowed: boolean): void {
  if (!isAllowed) {
    const text = "The operator of this SuperLink registers its nodes.";
    throw new ConnectError(text, Code.FailedPrecondition);
  }
}
