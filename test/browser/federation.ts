import { fileURLToPath } from "node:url";
import { toRecord } from "../../examples/browser/app/line.ts";
import { openGrpc } from "../../src/appio/grpc-connection.ts";
import { packBundle } from "../../src/appio/launch/bundle-pack.ts";
import { ConfigRecord } from "../../src/appio/objects/config-record.ts";
import { Message } from "../../src/appio/objects/message.ts";
import { RecordDict } from "../../src/appio/objects/record-dict.ts";
import { clientAppIoPolicy } from "../../src/appio/policy.ts";
import { runServerApp } from "../../src/appio/runtime/run-server-app.ts";
import { ServerApp } from "../../src/appio/runtime/server-app.ts";
import { startSuperLink } from "../../src/appio/superlink/superlink.ts";
import { type SuperNodeOptions, startSuperNode } from "../../src/appio/supernode/supernode.ts";
import { createOpenClient } from "../../src/client/open-client.ts";
import { parseToken } from "../../src/policy/token.ts";

/** What a test's ServerApp sends: one message, to train this line with so many steps. */
export interface Task {
  readonly line: { readonly slope: number; readonly intercept: number };
  readonly steps: number;
  readonly learningRate: number;
}

const bundle = packBundle(fileURLToPath(new URL("../../examples/browser/app", import.meta.url)));

/** A SuperLink and one SuperNode, on which nothing launches ClientApps. */
export async function startFederation(options: Partial<SuperNodeOptions>) {
  const superLink = await startSuperLink({
    databasePath: ":memory:",
    operatorToken: parseToken("operator"),
    ...{ serverAppIoPort: 0, fleetPort: 0, controlPort: 0 },
  });
  const superNode = await startSuperNode({
    fleet: superLink.fleetUrl,
    clientAppIoPort: 0,
    ...{ pollIntervalMs: 20, replyPollIntervalMs: 20, pulling: { initialBackoffMs: 20 } },
    ...options,
  });

  /** Runs a ServerApp that sends the node one message; its replies are those that the ServerApp has counted. */
  async function startRun(task: Task) {
    const [runId = 0n] = await superLink.state.runs.create({ fab: await bundle });
    const token = await superLink.state.runs.claim(runId);
    if (token === undefined) throw new Error("the run was claimed already");
    const appIo = openGrpc(superLink.serverAppIoUrl);
    let replies: readonly Message[] = [];
    const app = new ServerApp().main(async (grid) => {
      replies = await grid.sendAndReceive([instruction(task, superNode.nodeId)]);
    });
    const ended = runServerApp({
      ...{ transport: appIo.transport, token, loadApp: () => ({ app }) },
      ...{ replyPollMs: 20, pulling: { initialBackoffMs: 20 } },
    }).finally(() => appIo.close());
    return {
      runId,
      /** Resolves when the ServerApp has ended. */
      replies: async () => {
        const { kind } = await ended;
        return { kind, replies };
      },
      /** The run's status at the SuperLink. */
      status: async () => (await superLink.state.runs.find(runId))?.status,
    };
  }

  /** Calls of an RPC of ClientAppIo that the node has allowed. */
  function allowed(method: string): number {
    return superNode.counters().find((count) => count.method === method)?.allowed ?? 0;
  }

  /** Runs that have a message on the node which nobody has claimed. */
  async function pendingRuns(): Promise<readonly bigint[]> {
    const node = openGrpc(superNode.clientAppIoUrl);
    try {
      const client = createOpenClient(clientAppIoPolicy, node.transport);
      return (await client.listAppsToLaunch({})).runIds;
    } finally {
      node.close();
    }
  }

  return {
    nodeUrl: superNode.clientAppIoUrl,
    startRun,
    allowed,
    pendingRuns,
    async [Symbol.asyncDispose]() {
      await superNode.close();
      await superLink.close();
    },
  };
}

function instruction({ line, steps, learningRate }: Task, dstNodeId: bigint): Message {
  const config = new ConfigRecord({ steps, "learning-rate": learningRate });
  const content = new RecordDict({ model: toRecord(line), config });
  return new Message({ content, messageType: "train", dstNodeId });
}
