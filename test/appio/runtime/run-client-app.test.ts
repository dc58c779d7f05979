import { Code, ConnectError } from "@connectrpc/connect";
import { expect, test } from "vitest";
import {
  PullAppInputsRequestSchema,
  PullAppMessagesRequestSchema,
  PushAppMessagesRequestSchema,
  PushAppOutputsRequestSchema,
} from "../../../gen/flwr/proto/appio_pb.ts";
import { SendAppHeartbeatRequestSchema } from "../../../gen/flwr/proto/heartbeat_pb.ts";
import {
  ConfirmMessageReceivedRequestSchema,
  PullObjectRequestSchema,
} from "../../../gen/flwr/proto/message_pb.ts";
import { ConfigRecord } from "../../../src/appio/objects/config-record.ts";
import { contentsOf, deflate, treeOf } from "../../../src/appio/objects/deflate.ts";
import { inflateMessage } from "../../../src/appio/objects/inflate.ts";
import { Message } from "../../../src/appio/objects/message.ts";
import { objectIdsOf } from "../../../src/appio/objects/object-tree.ts";
import { RecordDict } from "../../../src/appio/objects/record-dict.ts";
import { clientAppIoPolicy } from "../../../src/appio/policy.ts";
import { ClientApp, type ClientAppHandler } from "../../../src/appio/runtime/client-app.ts";
import { scalarsFromConfig } from "../../../src/appio/runtime/config-values.ts";
import {
  type RunClientAppOptions,
  runClientApp,
} from "../../../src/appio/runtime/run-client-app.ts";
import { createGuard } from "../../../src/guard/guard.ts";
import { type HandlersOf, service, unimplemented } from "../../../src/guard/service.ts";
import { manualSleep } from "./manual-sleep.ts";
import { nodeId, oneTokenVerifier, record, runId, token } from "./recorded-service.ts";

type Handlers = HandlersOf<typeof clientAppIoPolicy>;

const fail = (code: Code) => () => {
  throw new ConnectError("scripted", code);
};
const forever = () => new Promise<never>(() => {});

/** An instruction as a SuperNode holds it, with a message type of choice. */
function instructionOf(messageType: string) {
  const content = new RecordDict({ config: new ConfigRecord({ lr: 0.5 }) });
  const message = new Message({ content, messageType, dstNodeId: nodeId }).withMetadata({
    runId,
    srcNodeId: 1n,
  });
  const deflated = deflate(message);
  return {
    id: deflated.id,
    tree: treeOf(deflated),
    proto: message.withMetadata({ messageId: deflated.id }).toProto(),
    contents: new Map(contentsOf(deflated)),
  };
}

/** A guarded ClientAppIo that holds one instruction, whose RPCs may be replaced. */
function serveInstruction(handlers: Partial<Handlers> = {}, messageType = "train") {
  const instruction = instructionOf(messageType);
  const pushed = new Map<string, Uint8Array>();
  const { verify, revoke } = oneTokenVerifier();
  const guard = createGuard({
    services: [
      service(clientAppIoPolicy, {
        listAppsToLaunch: unimplemented,
        requestToken: unimplemented,
        getRun: unimplemented,
        sendAppHeartbeat: () => ({ success: true }),
        pullAppInputs: () => ({
          context: {
            runId,
            nodeId,
            nodeConfig: scalarsFromConfig({ partition: 2n }),
            runConfig: scalarsFromConfig({ rounds: 3 }),
            state: new RecordDict({ kept: new ConfigRecord({ calls: 1n }) }).toProto(),
          },
          run: { runId },
          fab: { hashStr: "hash", content: new Uint8Array([1]) },
        }),
        pullMessage: () => ({
          messagesList: [instruction.proto],
          messageObjectTrees: [instruction.tree],
        }),
        pushMessage: ({ messageObjectTrees: [tree] }) => ({
          objectsToPush: tree === undefined ? [] : objectIdsOf(tree),
        }),
        pushAppOutputs: () => ({}),
        pushObject: ({ objectId, objectContent }) => {
          pushed.set(objectId, objectContent);
          return { stored: true };
        },
        pullObject: ({ objectId }) => {
          const objectContent = instruction.contents.get(objectId);
          return objectContent === undefined
            ? {}
            : { objectFound: true, objectAvailable: true, objectContent };
        },
        confirmMessageReceived: () => ({}),
        ...handlers,
      }),
    ],
    verifiers: { appToken: verify },
  });
  return { ...record(guard.routes), revoke, instruction, pushed };
}

type Served = ReturnType<typeof serveInstruction>;

function run(
  served: Served,
  handler: ClientAppHandler,
  options: Partial<RunClientAppOptions> = {},
) {
  const { sleep, next } = manualSleep();
  const outcome = runClientApp({
    transport: served.transport,
    token,
    loadApp: () => ({ app: new ClientApp().train(handler) }),
    sleep,
    random: () => 0.5,
    ...options,
  });
  return { outcome, nextWait: next };
}

/** The reply that was pushed, rebuilt from its objects as a SuperLink's Grid does. */
function pushedReply(served: Served): Message {
  const [request] = served.requests(PushAppMessagesRequestSchema);
  const [message] = request?.messagesList ?? [];
  const [tree] = request?.messageObjectTrees ?? [];
  expect(message?.metadata?.messageId).toBe(tree?.objectId);
  expect(message?.content?.items ?? []).toEqual([]);
  return inflateMessage(tree?.objectId ?? "", served.pushed);
}

function pushedCalls(served: Served): unknown {
  const [request] = served.requests(PushAppOutputsRequestSchema);
  return RecordDict.fromProto(request?.context?.state).getConfigRecord("kept").get("calls");
}

const echo: ClientAppHandler = (message) => message.reply(message.content);

test("one message: the calls of contract 8.6 in their order", async () => {
  const served = serveInstruction();
  const { outcome } = run(served, echo);
  expect(await outcome).toEqual({
    kind: "replied",
    exitCode: 0,
    messageId: served.instruction.id,
    errorCode: undefined,
  });
  expect(served.rpcs()).toEqual([
    "SendAppHeartbeat",
    "PullAppInputs",
    "PullMessage",
    ...Array(3).fill("PullObject"),
    "ConfirmMessageReceived",
    "PushMessage",
    ...Array(3).fill("PushObject"),
    "PushAppOutputs",
  ]);
});

test("the app gets the message with its id and the context, and its reply and state come back", async () => {
  const served = serveInstruction();
  const { outcome } = run(served, (message, context) => {
    expect(message.metadata).toMatchObject({
      messageId: served.instruction.id,
      runId,
      srcNodeId: 1n,
      dstNodeId: nodeId,
    });
    expect(context).toMatchObject({ runId, nodeId });
    expect({ ...context.nodeConfig }).toEqual({ partition: 2n });
    expect({ ...context.runConfig }).toEqual({ rounds: 3 });
    const lr = message.content.getConfigRecord("config").getNumber("lr");
    context.state = new RecordDict({ kept: new ConfigRecord({ calls: 2n }) });
    return message.reply(new RecordDict({ result: new ConfigRecord({ lr: lr * 2 }) }));
  });
  await outcome;
  const reply = pushedReply(served);
  expect(reply.metadata).toMatchObject({
    runId,
    srcNodeId: nodeId,
    dstNodeId: 1n,
    replyToMessageId: served.instruction.id,
    messageType: "train",
  });
  expect(reply.content.getConfigRecord("result").get("lr")).toBe(1);
  expect(pushedCalls(served)).toBe(2n);
});

test("object calls name the node, the run and the message", async () => {
  const served = serveInstruction();
  await run(served, echo).outcome;
  for (const request of served.requests(PullObjectRequestSchema)) {
    expect(request).toMatchObject({ runId, node: { nodeId } });
  }
  expect(served.requests(ConfirmMessageReceivedRequestSchema)).toMatchObject([
    { runId, node: { nodeId }, messageObjectId: served.instruction.id },
  ]);
});

test("the token goes with every call, and in the body of those that have a field for it", async () => {
  const served = serveInstruction();
  await run(served, echo).outcome;
  expect(served.calls.every(({ headerToken }) => headerToken === token)).toBe(true);
  for (const schema of [
    SendAppHeartbeatRequestSchema,
    PullAppInputsRequestSchema,
    PullAppMessagesRequestSchema,
    PushAppMessagesRequestSchema,
    PushAppOutputsRequestSchema,
  ]) {
    expect(served.requests(schema).map((request) => request.token)).toEqual([token]);
  }
});

test.each<[string, RunClientAppOptions["loadApp"]]>([
  ["cannot be loaded", () => Promise.reject(new Error("secret path"))],
  ["is none", () => ({ app: () => {} })],
])(
  "an app that %s: an error reply of code 1 with the fixed reason, and the context",
  async (_, loadApp) => {
    const served = serveInstruction();
    const { outcome } = run(served, echo, { loadApp });
    expect(await outcome).toMatchObject({ kind: "replied", exitCode: 0, errorCode: 1 });
    expect(pushedReply(served).error).toEqual({
      code: 1,
      reason: "An exception was raised when attempting to load `ClientApp`",
    });
    expect(pushedCalls(served)).toBe(1n);
  },
);

test("an app that throws: an error reply of code 2 with class and text, and the context it left", async () => {
  const served = serveInstruction();
  const { outcome } = run(served, (_, context) => {
    context.state.set("kept", new ConfigRecord({ calls: 5n }));
    throw new RangeError("no data");
  });
  expect(await outcome).toMatchObject({ kind: "replied", exitCode: 0, errorCode: 2 });
  const reply = pushedReply(served);
  expect(reply.error).toEqual({ code: 2, reason: "<class 'RangeError'>:<'no data'>" });
  expect(reply.metadata.replyToMessageId).toBe(served.instruction.id);
  expect(pushedCalls(served)).toBe(5n);
});

test.each<[string, ClientAppHandler, string]>([
  ["throws a string", () => Promise.reject("no data"), "<class 'string'>:<'no data'>"],
  // @ts-expect-error A handler must return a message.
  ["returns nothing", () => {}, "the handler must return a Message"],
  [
    "returns a message that is no reply",
    (message) => new Message({ content: message.content, messageType: "train", dstNodeId: 1n }),
    "the handler must return a reply to its message",
  ],
])("an app that %s: an error reply of code 2", async (_, handler, reason) => {
  const served = serveInstruction();
  expect(await run(served, handler).outcome).toMatchObject({ kind: "replied", errorCode: 2 });
  expect(pushedReply(served).error.reason).toContain(reason);
});

test("an app that leaves an error unhandled: an error reply of code 2, and the context it left", async () => {
  const served = serveInstruction();
  let release = 0;
  let fail = (_error: unknown) => {};
  const { outcome } = run(
    served,
    (_message, { state }) => {
      state.set("kept", new ConfigRecord({ calls: 2n }));
      fail(new RangeError("nobody awaits this"));
      return forever();
    },
    {
      captureErrors: (given) => {
        fail = given;
        return () => {
          release += 1;
        };
      },
    },
  );
  expect(await outcome).toMatchObject({ kind: "replied", exitCode: 0, errorCode: 2 });
  expect(pushedReply(served).error).toEqual({
    code: 2,
    reason: "<class 'RangeError'>:<'nobody awaits this'>",
  });
  expect(pushedCalls(served)).toBe(2n);
  expect(release).toBe(1);
});

test("an error that comes unhandled once the app has answered is only logged", async () => {
  const lines: string[] = [];
  let fail = (_error: unknown) => {};
  const served = serveInstruction({
    pushAppOutputs: () => {
      fail(new RangeError("too late"));
      return {};
    },
  });
  const { outcome } = run(served, echo, {
    onLog: (line) => lines.push(line),
    captureErrors: (given) => {
      fail = given;
      return () => {};
    },
  });
  expect(await outcome).toMatchObject({ kind: "replied", errorCode: undefined });
  expect(lines[0]).toBe("The app did not handle an error: too late");
});

test("a message type without a handler: an error reply of code 2", async () => {
  const served = serveInstruction({}, "evaluate.custom");
  await run(served, echo).outcome;
  expect(pushedReply(served).error).toEqual({
    code: 2,
    reason: `<class 'TypeError'>:<'no evaluate handler is registered with the name "custom"'>`,
  });
});

test("a context that cannot be written: an error reply of code 2, and the context as it came", async () => {
  const served = serveInstruction();
  await run(served, (message, context) => {
    Object.assign(context, { state: "gone" });
    return message.reply(message.content);
  }).outcome;
  expect(pushedReply(served).error).toMatchObject({ code: 2 });
  expect(pushedCalls(served)).toBe(1n);
});

const protocol = [
  "pullAppInputs",
  "pullMessage",
  "pullObject",
  "confirmMessageReceived",
  "pushMessage",
  "pushObject",
  "pushAppOutputs",
] as const;

test.each(protocol)("when %s fails, nothing is reported and the exit code is 0", async (rpc) => {
  const served = serveInstruction({ [rpc]: fail(Code.Internal) });
  const lines: string[] = [];
  const { outcome } = run(served, echo, { onLog: (line) => lines.push(line) });
  expect(await outcome).toMatchObject({
    kind: "failed",
    exitCode: 0,
    error: { code: Code.Internal },
  });
  const last = served.rpcs().at(-1);
  expect(last?.toLowerCase()).toBe(rpc.toLowerCase());
  expect(lines.join()).toContain("The ClientApp ended (failed)");
});

test.each(protocol)("when %s says that the run is not running, the exit code is 0", async (rpc) => {
  const served = serveInstruction({ [rpc]: fail(Code.PermissionDenied) });
  expect(await run(served, echo).outcome).toEqual({ kind: "run stopped", exitCode: 0 });
});

test.each([0, 2])("%i messages instead of one are a failure", async (count) => {
  const { tree, proto } = instructionOf("train");
  const served = serveInstruction({
    pullMessage: () => ({
      messagesList: Array(count).fill(proto),
      messageObjectTrees: Array(count).fill(tree),
    }),
  });
  const { outcome } = run(served, echo);
  expect(await outcome).toMatchObject({
    kind: "failed",
    error: { message: `the server sent ${count} messages instead of one` },
  });
  expect(served.rpcs()).not.toContain("PullObject");
});

test("a server that holds the content of another object is not believed", async () => {
  const served = serveInstruction({
    pullObject: () => ({
      objectFound: true,
      objectAvailable: true,
      objectContent: new TextEncoder().encode("RecordDict  2\0{}"),
    }),
  });
  expect(await run(served, echo).outcome).toMatchObject({
    kind: "failed",
    error: { name: "ObjectMismatchError" },
  });
  expect(served.rpcs()).not.toContain("ConfirmMessageReceived");
});

test("objects that make no message: an error reply of code 3, and the context as it came", async () => {
  const dict = deflate(new RecordDict());
  const [[, objectContent] = ["", new Uint8Array()]] = contentsOf(dict);
  const served = serveInstruction({
    pullMessage: () => ({
      messagesList: [served.instruction.proto],
      messageObjectTrees: [treeOf(dict)],
    }),
    pullObject: () => ({ objectFound: true, objectAvailable: true, objectContent }),
  });
  const lines: string[] = [];
  const { outcome } = run(served, echo, { onLog: (line) => lines.push(line) });
  expect(await outcome).toEqual({
    kind: "replied",
    exitCode: 0,
    messageId: dict.id,
    errorCode: 3,
  });
  const reply = pushedReply(served);
  expect(reply.metadata).toMatchObject({ replyToMessageId: dict.id, srcNodeId: nodeId });
  expect(reply.error.reason).toBe(
    "The message cannot be read: Expected an object of type Message, but got RecordDict.",
  );
  expect(pushedCalls(served)).toBe(1n);
  expect(lines[0]).toContain("The message cannot be read");
  expect(served.rpcs()).not.toContain("ConfirmMessageReceived");
});

test("an unavailable node is asked again", async () => {
  const codes = [Code.Unavailable];
  const served = serveInstruction({
    pushMessage: () => {
      const code = codes.shift();
      if (code !== undefined) throw new ConnectError("scripted", code);
      return {};
    },
  });
  const { outcome, nextWait } = run(served, echo);
  const done = outcome.then(() => undefined);
  for (;;) {
    const wait = await Promise.race([nextWait(), done]);
    if (wait === undefined) break;
    if (wait.ms !== 20_000) wait.end(); // Not the heartbeat's.
  }
  expect(await outcome).toMatchObject({ kind: "replied" });
  expect(served.rpcs().filter((rpc) => rpc === "PushMessage")).toHaveLength(2);
});

test("a reply refused for its token ends the app as one that has lost it", async () => {
  const served = serveInstruction();
  const { outcome } = run(served, (message) => {
    served.revoke();
    return message.reply(message.content);
  });
  expect(await outcome).toMatchObject({ kind: "token lost", exitCode: 1 });
});

test("a token that is lost while the app works: nothing is pushed", async () => {
  const served = serveInstruction();
  const begun: { resolve(): void } = { resolve: () => {} };
  const hasBegun = new Promise<void>((resolve) => {
    begun.resolve = resolve;
  });
  let appSignal: AbortSignal | undefined;
  const { outcome, nextWait } = run(served, (_message, _context, { signal }) => {
    appSignal = signal;
    begun.resolve();
    return forever();
  });
  const heartbeat = await nextWait();
  await hasBegun;
  served.revoke();
  heartbeat.end();
  expect(await outcome).toMatchObject({
    kind: "token lost",
    exitCode: 1,
    error: { message: "The app's token is lost: the server refused the token." },
  });
  expect(appSignal?.aborted).toBe(true);
  expect(served.rpcs()).not.toContain("PushMessage");
});

test("an interrupted app: nothing is pushed, whatever it returns afterwards", async () => {
  const served = serveInstruction();
  const interrupt = new AbortController();
  const { outcome } = run(
    served,
    (message) => {
      interrupt.abort();
      return message.reply(message.content);
    },
    { signal: interrupt.signal },
  );
  expect(await outcome).toMatchObject({ kind: "interrupted", exitCode: 1 });
  expect(served.rpcs()).not.toContain("PushMessage");
});

test("refuses to begin without a token", async () => {
  const served = serveInstruction();
  // @ts-expect-error "" is no Token: the compiler refuses it first.
  await expect(run(served, echo, { token: "" }).outcome).rejects.toThrow(TypeError);
  expect(served.rpcs()).toEqual([]);
});
