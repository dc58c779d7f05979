import type { CallOptions, Client } from "@connectrpc/connect";
import type { ClientAppIo } from "../../../gen/flwr/proto/clientappio_pb.ts";
import type { ObjectTree } from "../../../gen/flwr/proto/message_pb.ts";
import { createAuthenticatedClient } from "../../client/authenticated-client.ts";
import { InflateError } from "../objects/content-object.ts";
import { deflate, treeOf } from "../objects/deflate.ts";
import { clientAppIoPolicy } from "../policy.ts";
import { type Answer, answerMessage, refuseMessage } from "./answer-message.ts";
import { type AppLifetime, beginLifetime } from "./app-lifetime.ts";
import { type AppRuntimeOptions, createAppRetry, startAppHeartbeat } from "./app-runtime.ts";
import {
  type ClientAppEnd,
  type ClientAppOutcome,
  clientAppOutcome,
  endOfClientApp,
} from "./client-app-outcome.ts";
import { createObjectChannel } from "./object-channel.ts";
import { sleep as sleepByTimer } from "./sleep.ts";
import { linesOfThrown } from "./thrown-text.ts";
import { type UnhandledErrors, watchUnhandled } from "./unhandled-errors.ts";

/** What {@link runClientApp} needs; the service is a SuperNode's ClientAppIo. */
export type RunClientAppOptions = AppRuntimeOptions;

/**
 * Runs a ClientApp for exactly one message: pulls it, has the app answer it,
 * and pushes the reply and the context (contract 8.6). How it ended is the
 * result: it neither ends the process nor throws, but for options that are
 * wrong.
 *
 * An app that cannot be loaded, throws, or leaves an error unhandled has replied
 * too: its reply carries the error.
 *
 * @throws TypeError if the transport may not carry the token.
 */
export async function runClientApp(options: RunClientAppOptions): Promise<ClientAppOutcome> {
  const { transport, token, onLog } = options;
  const client = createAuthenticatedClient(clientAppIoPolicy, transport, { appToken: token });
  const lifetime = beginLifetime(options.signal);
  const unhandled = watchUnhandled(options);
  const sendAppHeartbeat = async (call: CallOptions) =>
    (await client.sendAppHeartbeat({ token }, call)).success;
  const heartbeat = startAppHeartbeat({ sendAppHeartbeat }, lifetime, options);
  let end: ClientAppEnd;
  try {
    end = await lifetime.during(() => exchange(client, lifetime, unhandled, options));
  } catch (error) {
    end = endOfClientApp(error);
  }
  await heartbeat.stop();
  unhandled.release();
  lifetime.release();
  if (onLog !== undefined && "error" in end) {
    for (const line of linesOfThrown(`The ClientApp ended (${end.kind})`, end.error)) {
      onLog(line);
    }
  }
  return clientAppOutcome(end);
}

async function exchange(
  client: Client<typeof ClientAppIo>,
  lifetime: AppLifetime,
  unhandled: UnhandledErrors,
  options: RunClientAppOptions,
): Promise<ClientAppEnd> {
  const { token, loadApp, onLog, createSha256 } = options;
  const { sleep = sleepByTimer, random = Math.random } = options;
  const { signal } = lifetime;
  const retry = createAppRetry(lifetime, options);
  const hashing = createSha256 === undefined ? {} : { createSha256 };

  const inputs = await retry.call(() => client.pullAppInputs({ token }, { signal }), signal);
  const { messagesList, messageObjectTrees } = await retry.call(
    () => client.pullMessage({ token }, { signal }),
    signal,
  );
  const objects = createObjectChannel({
    client,
    retry,
    runId: inputs.run?.runId ?? 0n,
    nodeId: inputs.context?.nodeId ?? 0n,
    sleep,
    random,
    ...hashing,
  });
  const tree = onlyTree(messageObjectTrees);
  let answer: Answer;
  try {
    const message = await objects.pull(tree, { signal });
    await objects.confirm(message.metadata.messageId, signal);
    answer = await answerMessage(message, inputs, {
      loadApp,
      lifetime,
      during: unhandled.during,
      ...(onLog === undefined ? {} : { onLog }),
    });
  } catch (error) {
    if (!(error instanceof InflateError)) {
      throw error;
    }
    for (const line of linesOfThrown("The message cannot be read", error)) {
      onLog?.(line);
    }
    answer = refuseMessage(messagesList[0]?.metadata, tree.objectId, error.message, inputs);
  }
  const { reply, context } = answer;

  const deflated = deflate(reply, hashing);
  const announcement = {
    token,
    messagesList: [reply.withMetadata({ messageId: deflated.id }).toProto()],
    messageObjectTrees: [treeOf(deflated)],
  };
  const { objectsToPush } = await retry.call(
    () => client.pushMessage(announcement, { signal }),
    signal,
  );
  await objects.push([deflated], objectsToPush, signal);
  await retry.call(() => client.pushAppOutputs({ token, context }, { signal }), signal);

  return {
    kind: "replied",
    messageId: tree.objectId,
    errorCode: reply.hasError() ? reply.error.code : undefined,
  };
}

/** A ClientApp's process exists for one message; the server hands out exactly one. */
function onlyTree(trees: readonly ObjectTree[]): ObjectTree {
  const [tree, ...others] = trees;
  if (tree === undefined || others.length > 0) {
    throw new TypeError(`the server sent ${trees.length} messages instead of one`);
  }
  return tree;
}
