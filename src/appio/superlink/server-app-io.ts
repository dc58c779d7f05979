import { Code, ConnectError } from "@connectrpc/connect";
import type { Node } from "../../../gen/flwr/proto/node_pb.ts";
import type { Run } from "../../../gen/flwr/proto/run_pb.ts";
import type { Authority } from "../../authority/authority.ts";
import { type HandlersOf, service } from "../../guard/service.ts";
import type { ClaimsOf } from "../../policy/credential.ts";
import type { ProtectedMethodOf } from "../../policy/policy.ts";
import { superLinkNodeId } from "../objects/super-link-node-id.ts";
import { serverAppIoPolicy, signedServerAppIoPolicy, type superExecKey } from "../policy.ts";
import { freeBytes } from "../state/free-bytes.ts";
import type { LinkState } from "../state/link-state.ts";
import {
  defaultMaxInlineBytes,
  type InlineSizeOptions,
  maxMessagesBytes,
} from "./message-sizes.ts";

/** The RPCs that take an app's token, whoever launches the apps. */
type AppHandlers = Pick<
  HandlersOf<typeof serverAppIoPolicy>,
  ProtectedMethodOf<typeof serverAppIoPolicy>
>;

/**
 * ServerAppIo on a SuperLink's state: the API of ServerApp processes. Protected
 * RPCs act on the run of the caller's token, whatever the request says. The
 * bytes of a large PushObject may be gone from the request when they are stored,
 * also for an interceptor that has it.
 *
 * @param authority The one that the state was created with.
 */
export function serverAppIoService(
  state: LinkState,
  authority: Authority,
  options: InlineSizeOptions = {},
) {
  const { runs } = state;
  return service(
    serverAppIoPolicy,
    {
      ...appHandlers(state, authority),
      async listAppsToLaunch() {
        return { runIds: await runs.listClaimable() };
      },
      async requestToken({ runId }) {
        return { token: (await runs.claim(runId)) ?? "" };
      },
      async getRun({ runId }) {
        const run = await runs.find(runId);
        return run === undefined ? {} : { run: publicPart(run) };
      },
    },
    sizesFor(options),
  );
}

/**
 * The same where SuperExecs must sign. A SuperExec sees and claims the runs
 * whose kind of app it may launch, and is told all of any run, as with Flower;
 * an app is told all of its own.
 *
 * @param authority The one that the state was created with.
 */
export function signedServerAppIoService(
  state: LinkState,
  authority: Authority,
  options: InlineSizeOptions = {},
) {
  const { runs } = state;
  return service(
    signedServerAppIoPolicy,
    {
      ...appHandlers(state, authority),
      async listAppsToLaunch(_request, { caller }) {
        return { runIds: await runs.listClaimable(launchableTypes(caller)) };
      },
      async requestToken({ runId }, { caller }) {
        // A run's type never changes, so nothing can come between the two.
        const run = await runs.find(runId);
        const mayLaunch = run !== undefined && launchableTypes(caller).includes(run.runType);
        return { token: mayLaunch ? ((await runs.claim(runId)) ?? "") : "" };
      },
      async getRun({ runId }) {
        const run = await runs.find(runId);
        return run === undefined ? {} : { run };
      },
    },
    sizesFor(options),
  );
}

/** The types of runs that a SuperExec may launch. */
function launchableTypes(caller: ClaimsOf<typeof superExecKey>): string[] {
  return [
    ...(caller.launchesServerApps ? ["serverapp"] : []),
    ...(caller.launchesSimulations ? ["simulation"] : []),
  ];
}

function sizesFor({ maxInlineBytes = defaultMaxInlineBytes }: InlineSizeOptions) {
  return {
    readMaxBytes: {
      pushAppOutputs: maxInlineBytes,
      pushObject: maxInlineBytes,
      pushMessages: maxMessagesBytes,
    },
  };
}

function appHandlers(state: LinkState, authority: Authority): AppHandlers {
  const { runs, inputs, logs, nodes, instructions, replies, objects } = state;
  return {
    async sendAppHeartbeat(_request, { caller }) {
      return { success: await authority.extend(caller.tokenDigest) };
    },
    pullAppInputs(_request, { caller }) {
      return inputs.start(caller.runId);
    },
    async pushAppOutputs({ context }, { caller }) {
      if (context === undefined) {
        throw new ConnectError("`context` is not set", Code.InvalidArgument);
      }
      await inputs.saveContext(caller.runId, context);
      return {};
    },
    async pushObject({ node, objectId, objectContent }, { caller }) {
      assertSuperLink(node);
      const stored = await objects.put(caller.runId, objectId, objectContent);
      if (stored) {
        freeBytes(objectContent);
      }
      return { stored };
    },
    async pullObject({ node, objectId }, { caller }) {
      assertSuperLink(node);
      const { runId } = caller;
      const known = await objects.get(runId, objectId);
      if (known?.content !== undefined) {
        return { objectFound: true, objectAvailable: true, objectContent: known.content };
      }
      const isComing = known !== undefined && !(await replies.isLost(runId, objectId));
      return { objectFound: isComing, objectAvailable: false };
    },
    async confirmMessageReceived({ messageObjectId }, { caller }) {
      await replies.confirm(caller.runId, messageObjectId);
      return {};
    },
    async updateRunStatus({ runStatus }, { caller }) {
      const { status = "", subStatus = "", details = "" } = runStatus ?? {};
      await runs.updateStatus(caller.runId, { status, subStatus, details });
      return {};
    },
    async pushLogs({ logs: lines }, { caller }) {
      await logs.append(caller.runId, lines.join(""));
      return {};
    },
    async getFederationOptions(_request, { caller }) {
      const federationOptions = await runs.federationOptions(caller.runId);
      if (federationOptions === undefined) {
        const text = "Expected federation options to be set, but none available.";
        throw new ConnectError(text, Code.FailedPrecondition);
      }
      return { federationOptions };
    },
    pushMessages({ messagesList, messageObjectTrees }, { caller }) {
      return instructions.push(caller.runId, messagesList, messageObjectTrees);
    },
    async pullMessages({ messageIds }, { caller }) {
      const answers = await replies.find(caller.runId, messageIds);
      return {
        messagesList: answers.map(({ message }) => message),
        messageObjectTrees: answers.map(({ tree }) => tree),
      };
    },
    async getNodes(_request, { caller }) {
      await runs.assertRunning(caller.runId);
      const online = await nodes.listOnline();
      return { nodes: online.map((nodeId) => ({ nodeId })) };
    },
  };
}

/**
 * What anybody may know of a run: launchers ask for its type and its bundle
 * without a credential. Never its configuration, which may hold secrets, nor
 * details, which quote its app's errors.
 */
function publicPart({ runId, runType, status, fabId, fabVersion, fabHash }: Run) {
  const { status: name = "", subStatus = "" } = status ?? {};
  return { runId, runType, fabId, fabVersion, fabHash, status: { status: name, subStatus } };
}

/** @throws ConnectError FailedPrecondition unless the node is the SuperLink, as which apps push and pull. */
function assertSuperLink(node: Node | undefined): void {
  if (node?.nodeId !== superLinkNodeId) {
    throw new ConnectError("Unexpected node ID.", Code.FailedPrecondition);
  }
}
