import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, createRouterTransport } from "@connectrpc/connect";
import {
  PullAppMessagesResponseSchema,
  type PushAppMessagesRequest,
} from "../../../gen/flwr/proto/appio_pb.ts";
import type { Message as MessageProto, ObjectTree } from "../../../gen/flwr/proto/message_pb.ts";
import { RunSchema } from "../../../gen/flwr/proto/run_pb.ts";
import { contentsOf, deflate, treeOf } from "../../../src/appio/objects/deflate.ts";
import { inflateMessage } from "../../../src/appio/objects/inflate.ts";
import type { Message } from "../../../src/appio/objects/message.ts";
import { objectIdsOf } from "../../../src/appio/objects/object-tree.ts";
import { serverAppIoPolicy } from "../../../src/appio/policy.ts";
import { inProcess } from "../../../src/client/located-transport.ts";
import { createGuard } from "../../../src/guard/guard.ts";
import { service, unimplemented } from "../../../src/guard/service.ts";
import { digestToken, parseToken } from "../../../src/policy/token.ts";

export const token = parseToken("a".repeat(256));
export const run = create(RunSchema, { runId: 13435957246453124737n });

/**
 * The part of a SuperLink that a Grid talks to, in memory, behind a guard: it
 * answers what it is told to, and keeps the objects it announced.
 */
export function smallSuperLink() {
  const objects = new Map<string, Uint8Array | undefined>();
  const replies: { message: MessageProto; tree: ObjectTree }[] = [];
  /** Every RPC, in order; and the errors to answer the next ones with. */
  const calls: string[] = [];
  const failures = new Map<string, ConnectError[]>();
  const pushes: PushAppMessagesRequest[] = [];
  const confirmed: string[] = [];
  const refusesObjects = { value: false };
  const pushed: string[] = [];
  const pulled: string[] = [];
  const called = (rpc: string) => {
    calls.push(rpc);
    const failure = failures.get(rpc)?.shift();
    if (failure !== undefined) {
      throw failure;
    }
  };

  const guard = createGuard({
    services: [
      service(serverAppIoPolicy, {
        listAppsToLaunch: unimplemented,
        requestToken: unimplemented,
        getRun: unimplemented,
        sendAppHeartbeat: unimplemented,
        pullAppInputs: unimplemented,
        pushAppOutputs: unimplemented,
        updateRunStatus: unimplemented,
        pushLogs: unimplemented,
        getFederationOptions: unimplemented,
        getNodes() {
          called("getNodes");
          return { nodes: [{ nodeId: 2n ** 64n - 1n }, { nodeId: 7n }] };
        },
        pushMessages(request) {
          called("pushMessages");
          pushes.push({ ...request, token: "", runId: run.runId });
          const ids = new Set(request.messageObjectTrees.flatMap(objectIdsOf));
          const missing = Array.from(ids).filter((id) => objects.get(id) === undefined);
          for (const id of missing) {
            objects.set(id, undefined);
          }
          return {
            messageIds: request.messagesList.map(({ metadata }) =>
              metadata?.dstNodeId === 404n ? "" : (metadata?.messageId ?? ""),
            ),
            objectsToPush: missing.reverse(),
          };
        },
        pullMessages({ messageIds }) {
          called("pullMessages");
          const found = replies.filter(({ message }) =>
            messageIds.includes(message.metadata?.replyToMessageId ?? ""),
          );
          return create(PullAppMessagesResponseSchema, {
            messagesList: found.map(({ message }) => message),
            messageObjectTrees: found.map(({ tree }) => tree),
          });
        },
        pushObject({ node, objectId, objectContent }) {
          called("pushObject");
          pushed.push(objectId);
          if (node?.nodeId !== 1n) {
            throw new ConnectError("Unexpected node ID.", Code.FailedPrecondition);
          }
          const stored = objects.has(objectId) && !refusesObjects.value;
          if (stored) {
            objects.set(objectId, objectContent);
          }
          return { stored };
        },
        pullObject({ node, objectId }) {
          called("pullObject");
          pulled.push(objectId);
          if (node?.nodeId !== 1n) {
            throw new ConnectError("Unexpected node ID.", Code.FailedPrecondition);
          }
          const objectContent = objects.get(objectId);
          return {
            objectFound: objects.has(objectId),
            objectAvailable: objectContent !== undefined,
            ...(objectContent === undefined ? {} : { objectContent }),
          };
        },
        confirmMessageReceived({ messageObjectId }) {
          called("confirmMessageReceived");
          confirmed.push(messageObjectId);
          return {};
        },
      }),
    ],
    verifiers: {
      appToken: (presented) =>
        presented === token ? { runId: run.runId, tokenDigest: digestToken(token) } : undefined,
    },
  });

  return {
    transport: inProcess(createRouterTransport(guard.routes)),
    calls,
    failures,
    pushes,
    objects,
    /** What it answers pulls with. */
    replies,
    /** Whether it takes no object, even one that it asked for. */
    refusesObjects,
    /** Ids of objects, in the order of the calls that named them. */
    pushed,
    pulled,
    confirmed,
    /** Has a reply ready; with its objects, or announced only. Returns its id. */
    answer(reply: Message, hasObjects = true): string {
      const deflated = deflate(reply);
      for (const [id, content] of contentsOf(deflated)) {
        objects.set(id, hasObjects ? content : undefined);
      }
      const message = reply.withMetadata({ messageId: deflated.id }).toProto();
      replies.push({ message, tree: treeOf(deflated) });
      return deflated.id;
    },
    /** An instruction as a node would get it. */
    received(messageId: string): Message {
      const contents = new Map<string, Uint8Array>();
      for (const [id, content] of objects) {
        if (content !== undefined) {
          contents.set(id, content);
        }
      }
      return inflateMessage(messageId, contents);
    },
  };
}
