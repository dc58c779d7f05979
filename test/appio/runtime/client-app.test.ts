import { expect, test } from "vitest";
import { ConfigRecord } from "../../../src/appio/objects/config-record.ts";
import { Message } from "../../../src/appio/objects/message.ts";
import { RecordDict } from "../../../src/appio/objects/record-dict.ts";
import {
  ClientApp,
  type ClientAppHandler,
  type ClientAppMod,
  isClientApp,
} from "../../../src/appio/runtime/client-app.ts";
import type { Context } from "../../../src/appio/runtime/context.ts";
import { isServerApp, ServerApp } from "../../../src/appio/runtime/server-app.ts";

const lifetime = { signal: new AbortController().signal };
const context: Context = {
  runId: 1n,
  nodeId: 2n,
  nodeConfig: {},
  state: new RecordDict(),
  runConfig: {},
};

function messageOf(messageType: string): Message {
  return new Message({ content: new RecordDict(), messageType, dstNodeId: 2n });
}

/** A handler whose reply carries a text, which `answerOf` reads. */
const replying =
  (text: string): ClientAppHandler =>
  (message) =>
    message.reply(new RecordDict({ config: new ConfigRecord({ text }) }));

async function answerOf(app: ClientApp, messageType: string): Promise<unknown> {
  const reply = await app.answer(messageOf(messageType), context, lifetime);
  return reply.content.getConfigRecord("config").get("text");
}

const app = new ClientApp()
  .train(replying("train"))
  .train("warm_up", replying("train.warm_up"))
  .evaluate(replying("evaluate"))
  .query("größe", replying("query.größe"));

test.each([
  ["train", "train"],
  ["train.default", "train"],
  ["train.warm_up", "train.warm_up"],
  ["evaluate", "evaluate"],
  ["query.größe", "query.größe"],
])("a message of type %s goes to the handler %s", async (messageType, handler) => {
  expect(await answerOf(app, messageType)).toBe(handler);
});

test.each([
  ["query", 'no query handler is registered with the name "default"'],
  ["evaluate.warm_up", 'no evaluate handler is registered with the name "warm_up"'],
  ["system", 'message type "system" is not train, evaluate or query'],
  ["train.a.b", 'message type "train.a.b"'],
  ["train.", 'message type "train."'],
  ["train.2", 'message type "train.2"'],
  ["", 'message type ""'],
])("a message of type %j has no handler", async (messageType, text) => {
  await expect(answerOf(app, messageType)).rejects.toThrow(text);
});

test.each(["", "with-dash", "a.b", "2a", "a b", "a\n"])("refuses the name %j", (action) => {
  expect(() => new ClientApp().train(action, replying("x"))).toThrow(
    '"action" must be an identifier',
  );
});

test("refuses a second handler of one message type", () => {
  expect(() => new ClientApp().train(replying("a")).train("default", replying("b"))).toThrow(
    'this ClientApp has a train handler named "default" already',
  );
});

test("refuses what is no handler", () => {
  // @ts-expect-error A name alone registers nothing.
  expect(() => new ClientApp().train("named")).toThrow(
    '"handler" of train.named must be a function',
  );
});

test("mods stand around the handler: the app's outside, its own inside, each in its order", async () => {
  const steps: string[] = [];
  const mod =
    (name: string): ClientAppMod =>
    async (message, modContext, next) => {
      steps.push(`${name} in`);
      const reply = await next(message, modContext);
      steps.push(`${name} out`);
      return reply;
    };
  const modded = new ClientApp({ mods: [mod("a"), mod("b")] }).train(replying("x"), {
    mods: [mod("c")],
  });
  await answerOf(modded, "train");
  expect(steps).toEqual(["a in", "b in", "c in", "c out", "b out", "a out"]);
});

test("a mod may answer itself", async () => {
  const refusing: ClientAppMod = (message) => message.replyWithError({ code: 6 });
  const modded = new ClientApp({ mods: [refusing] }).train(replying("x"));
  const reply = await modded.answer(messageOf("train"), context, lifetime);
  expect(reply.error.code).toBe(6);
});

test("an app is told from other values, also one of another copy of the package", () => {
  const copy = { [Symbol.for("countersign.ClientApp")]: true };
  expect([app, copy, new ServerApp(), {}, null, undefined].map(isClientApp)).toEqual([
    true,
    true,
    false,
    false,
    false,
    false,
  ]);
  expect([new ServerApp(), app, () => {}].map(isServerApp)).toEqual([true, false, false]);
});

test("a ServerApp has one main function", () => {
  expect(() => new ServerApp().main(() => {}).main(() => {})).toThrow(
    "this ServerApp has a main function already",
  );
  // @ts-expect-error A ServerApp needs a function.
  expect(() => new ServerApp().main()).toThrow('"main" must be a function');
});
