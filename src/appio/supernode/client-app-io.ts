import { Code, ConnectError } from "@connectrpc/connect";
import type { Run } from "../../../gen/flwr/proto/run_pb.ts";
import type { Authority } from "../../authority/index.ts";
import { authenticationFailed } from "../../guard/refusal.ts";
import { type HandlersOf, type Service, service } from "../../guard/service.ts";
import type { ProtectedMethodOf } from "../../policy/policy.ts";
import { isObjectId } from "../objects/object-id.ts";
import { clientAppIoPolicy, signedClientAppIoPolicy } from "../policy.ts";
import { freeBytes } from "../state/free-bytes.ts";
import {
  defaultMaxInlineBytes,
  type InlineSizeOptions,
  maxMessagesBytes,
} from "../superlink/message-sizes.ts";
import type { NodeApps } from "./node-apps.ts";
import { NodeRefusal, type NodeRefusalKind } from "./node-caller.ts";

/** What {@link clientAppIoService} serves. */
export interface ClientAppIoOptions extends InlineSizeOptions {
  readonly apps: NodeApps;
  readonly authority: Authority;
}

/** The RPCs that take an app's token, whoever launches the apps. */
type AppHandlers = Pick<
  HandlersOf<typeof clientAppIoPolicy>,
  ProtectedMethodOf<typeof clientAppIoPolicy>
>;

/**
 * ClientAppIo (contract 5.2): all of its RPCs, each confined to the run that the caller's token proves. Objects too: a
 * ClientApp reaches its own run's objects only, where Flower lets any live token touch any object on the node. The bytes
 * of a large PushObject may be gone from the request when they are stored, also for an interceptor that has it.
 */
export function clientAppIoService(options: ClientAppIoOptions): Service<typeof clientAppIoPolicy> {
  const { apps } = options;
  return service(
    clientAppIoPolicy,
    {
      ...appHandlers(options),
      ...launching(apps),
      // Open, so it tells no more than what a launcher needs (design section 6).
      getRun: async ({ runId }) => {
        const found = await apps.findRun(runId);
        return found === undefined ? {} : { run: publicPart(found.run) };
      },
    },
    sizesFor(options),
  );
}

/** The same where SuperExecs must sign. They are told all of a run, as with Flower, and so are its own ClientApps. */
export function signedClientAppIoService(
  options: ClientAppIoOptions,
): Service<typeof signedClientAppIoPolicy> {
  const { apps } = options;
  return service(
    signedClientAppIoPolicy,
    {
      ...appHandlers(options),
      ...launching(apps),
      getRun: async ({ runId }, { caller }) => {
        const found = await (caller.credential === "appToken"
          ? refused(apps.inputsOf(caller))
          : apps.findRun(runId));
        return found === undefined ? {} : { run: found.run };
      },
    },
    sizesFor(options),
  );
}

function launching(
  apps: NodeApps,
): Pick<HandlersOf<typeof clientAppIoPolicy>, "listAppsToLaunch" | "requestToken"> {
  return {
    listAppsToLaunch: async () => ({ runIds: await apps.pendingRuns() }),
    requestToken: async ({ runId }) => ({ token: (await apps.claim(runId)) ?? "" }),
  };
}

function publicPart({ runId, fabId, fabVersion, fabHash, status, runType }: Run) {
  const { status: name = "", subStatus = "" } = status ?? {};
  return { runId, fabId, fabVersion, fabHash, runType, status: { status: name, subStatus } };
}

function sizesFor({ maxInlineBytes = defaultMaxInlineBytes }: InlineSizeOptions) {
  return {
    readMaxBytes: {
      pushMessage: maxMessagesBytes,
      pushAppOutputs: maxInlineBytes,
      pushObject: maxInlineBytes,
    },
  };
}

function appHandlers({ apps, authority }: ClientAppIoOptions): AppHandlers {
  return {
    sendAppHeartbeat: async (_, { caller }) => ({
      success: await authority.extend(caller.tokenDigest),
    }),

    pullAppInputs: async (_, { caller }) => {
      const found = await refused(apps.inputsOf(caller));
      if (found === undefined) {
        throw new ConnectError(`Run ${caller.runId} is not on this node.`, Code.NotFound);
      }
      const { run, context, fab } = found;
      if (fab === undefined) {
        throw new ConnectError(`FAB with hash ${run.fabHash} not found in FFS.`, Code.NotFound);
      }
      return { run, context, fab };
    },

    pullMessage: async (_, { caller }) => {
      const taken = await refused(apps.takeMessage(caller));
      if (taken === undefined) {
        throw new ConnectError("No message waits for this run.", Code.NotFound);
      }
      return { messagesList: [taken.message], messageObjectTrees: [taken.tree] };
    },

    pushMessage: async ({ messagesList, messageObjectTrees }, { caller }) => {
      const [message, ...moreMessages] = messagesList;
      const [tree, ...moreTrees] = messageObjectTrees;
      if (
        message === undefined ||
        tree === undefined ||
        moreMessages.length + moreTrees.length > 0
      ) {
        throw new ConnectError("Expected one message and its tree.", Code.InvalidArgument);
      }
      if ((message.content === undefined) === (message.error === undefined)) {
        throw new ConnectError(
          "A message carries either content or an error.",
          Code.InvalidArgument,
        );
      }
      const messageId = message.metadata?.messageId ?? "";
      if (!isObjectId(messageId) || tree.objectId !== messageId) {
        throw new ConnectError(
          "A message's id must be the root of its tree.",
          Code.InvalidArgument,
        );
      }
      return { objectsToPush: await refused(apps.storeReply(caller, { message, tree })) };
    },

    pushAppOutputs: async ({ context }, { caller }) => {
      if (context === undefined) {
        throw new ConnectError("The context is missing.", Code.InvalidArgument);
      }
      await refused(apps.finish(caller, context));
      return {};
    },

    pushObject: async ({ objectId, objectContent }, { caller }) => {
      const stored = await refused(apps.putObject(caller, objectId, objectContent));
      if (stored) {
        freeBytes(objectContent);
      }
      return { stored };
    },

    pullObject: async ({ objectId }, { caller }) => {
      const object = await refused(apps.getObject(caller, objectId));
      return object?.content === undefined
        ? { objectFound: object !== undefined }
        : { objectFound: true, objectAvailable: true, objectContent: object.content };
    },

    confirmMessageReceived: async ({ messageObjectId }, { caller }) => {
      await refused(apps.confirmMessage(caller, messageObjectId));
      return {};
    },
  };
}

const refusalCodes: Readonly<Record<Exclude<NodeRefusalKind, "token ended">, Code>> = {
  "not taken": Code.NotFound,
  "already answered": Code.FailedPrecondition,
  misaddressed: Code.InvalidArgument,
};

/** Says on the wire what a {@link NodeRefusal} says here. */
async function refused<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (!(error instanceof NodeRefusal)) {
      throw error;
    }
    // A token that ended between the guard and the transaction is refused like one that ended before.
    throw error.kind === "token ended"
      ? authenticationFailed()
      : new ConnectError(error.message, refusalCodes[error.kind]);
  }
}
