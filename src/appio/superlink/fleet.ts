import { Code, ConnectError } from "@connectrpc/connect";
import { service } from "../../guard/service.ts";
import { fleetPolicy } from "../policy.ts";
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

/** Fleet on a SuperLink's state: the API of SuperNodes. Its policy says who may call it. */
export function fleetService(
  state: LinkState,
  { maxInlineBytes = defaultMaxInlineBytes }: InlineSizeOptions = {},
) {
  const { runs, inputs, nodes, instructions, replies, objects } = state;
  return service(
    fleetPolicy,
    {
      async registerNode({ publicKey }) {
        return { nodeId: await nodes.register(publicKey) };
      },
      async activateNode({ publicKey, heartbeatInterval }) {
        return { nodeId: await nodes.activate(publicKey, heartbeatInterval) };
      },
      async deactivateNode({ nodeId }) {
        await nodes.deactivate(nodeId);
        return {};
      },
      async unregisterNode({ nodeId }) {
        await nodes.unregister(nodeId);
        return {};
      },
      async sendNodeHeartbeat({ node, heartbeatInterval }) {
        return { success: await nodes.heartbeat(node?.nodeId ?? 0n, heartbeatInterval) };
      },
      async pullMessages({ node }) {
        const taken = await instructions.take(node?.nodeId ?? 0n);
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
      async getRun({ runId }) {
        const run = await runs.find(runId);
        if (run === undefined) {
          throw new ConnectError(`Run ID not found: ${runId}`, Code.PermissionDenied);
        }
        await runs.assertRunning(runId);
        return { run };
      },
      async getFab({ runId, hashStr }) {
        await runs.assertRunning(runId);
        const run = await runs.find(runId);
        // A run's nodes get the bundle of that run and no other.
        const fab = run?.fabHash === hashStr ? await inputs.findFab(hashStr) : undefined;
        if (fab === undefined) {
          throw new ConnectError(`FAB with hash ${hashStr} not found.`, Code.NotFound);
        }
        return { fab };
      },
      async pushObject({ runId, objectId, objectContent }) {
        const stored = await objects.put(runId, objectId, objectContent);
        await runs.addTraffic(runId, { bytesReceived: objectContent.length });
        return { stored };
      },
      async pullObject({ runId, objectId }) {
        const found = await objects.get(runId, objectId);
        if (found?.content === undefined) {
          return { objectFound: found !== undefined, objectAvailable: false };
        }
        await runs.addTraffic(runId, { bytesSent: found.content.length });
        return { objectFound: true, objectAvailable: true, objectContent: found.content };
      },
      async confirmMessageReceived({ runId, messageObjectId }) {
        await objects.release(runId, messageObjectId);
        return {};
      },
    },
    { readMaxBytes: { pushObject: maxInlineBytes, pushMessages: maxMessagesBytes } },
  );
}
