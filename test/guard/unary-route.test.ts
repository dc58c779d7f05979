/** The guard's way for listeners that do without connect's handlers, step by step. */

import { create, type DescMethodUnary, type Message } from "@bufbuild/protobuf";
import {
  Code,
  createContextKey,
  createHandlerContext,
  type HandlerContext,
  type Interceptor,
} from "@connectrpc/connect";
import {
  type DecisionEvent,
  type GuardSettings,
  refusal,
  service,
  unimplemented,
} from "countersign";
import { describe, expect, it } from "vitest";
import { Mailbox } from "../../gen/countersign/example/v1/mailbox_pb.ts";
import { rawHeadersSource } from "../../src/guard/decide.ts";
import { guardOf } from "../../src/guard/guard.ts";
import type { UnaryRoute } from "../../src/guard/unary-route.ts";
import { verdictKey } from "../../src/guard/verdict.ts";
import { sessionPolicy } from "../client/mailbox.ts";
import { mailboxService, verifySession } from "./mailbox-service.ts";

const refused = { code: Code.Unauthenticated, rawMessage: "Authentication failed." };
const { getBulletin, countLetters, sendLetter } = Mailbox.method;

interface Start extends GuardSettings {
  readonly verify?: (token: string, call: { readonly isRecheck: boolean }) => unknown;
}

function start({ verify = verifySession, ...settings }: Start = {}) {
  const { mailbox, handled } = mailboxService();
  const events: DecisionEvent[] = [];
  const guard = guardOf(
    [mailbox],
    { session: verify },
    {
      onDecision: (event) => events.push(event),
      ...settings,
    },
  );
  const routes = new Map(guard.unaryRoutes().map((route) => [route.method, route]));
  const routeOf = (method: DescMethodUnary): UnaryRoute => {
    const route = routes.get(method);
    if (route === undefined) {
      throw new Error(`no route of ${method.name}`);
    }
    return route;
  };
  const admit = (method: DescMethodUnary, token: string) =>
    routeOf(method).admit(rawHeadersSource([["mailbox-session", token]]), new AbortController());
  /** Takes a call through its route. */
  const call = async (method: DescMethodUnary, token: string, init: Record<string, unknown> = {}) =>
    run(method, await admit(method, token), init);
  const run = async (
    method: DescMethodUnary,
    verdict: Parameters<UnaryRoute["run"]>[0],
    init: Record<string, unknown> = {},
  ): Promise<unknown> =>
    routeOf(method).run(verdict, create<typeof method.input>(method.input, init), {
      signal: new AbortController().signal,
      contextFor: (caller) => contextFor(method, caller),
    });
  return { guard, handled, events, routes, routeOf, admit, call, run };
}

function contextFor(method: DescMethodUnary, caller: object | undefined): HandlerContext {
  const context = createHandlerContext({
    service: method.parent,
    method,
    protocolName: "grpc",
    requestMethod: "POST",
    url: "http://localhost/",
  });
  return caller === undefined ? context : Object.assign(context, { caller });
}

const passThrough: Interceptor = (next) => (request) => next(request);

it("there is one for every unary RPC, with the size of its requests", () => {
  const sizes = { openReadMaxBytes: 10, readMaxBytes: 20 };
  const sizesOf = ({ guard }: ReturnType<typeof start>) =>
    guard.unaryRoutes().map(({ method, readMaxBytes }) => [method.name, readMaxBytes]);
  expect(sizesOf(start())).toEqual([
    ["GetBulletin", 65_536],
    ["OpenSession", 65_536],
    ["CountLetters", 4_194_304],
    ["SendLetter", 4_194_304],
  ]);
  expect(sizesOf(start(sizes)).map(([, size]) => size)).toEqual([10, 10, 20, 20]);
  const { mailbox } = mailboxService();
  const own = service(
    sessionPolicy,
    Object.fromEntries(
      [...mailbox.handlers].map(([method, handler]) => [method.localName, handler]),
    ) as never,
    { readMaxBytes: { getBulletin: 30, sendLetter: 40 } },
  );
  const guard = guardOf([own], { session: verifySession }, sizes);
  expect(guard.unaryRoutes().map(({ readMaxBytes }) => readMaxBytes)).toEqual([30, 10, 20, 40]);
});

describe.each<[string, GuardSettings]>([
  ["without interceptors", {}],
  ["with interceptors", { interceptors: [passThrough] }],
])("%s", (_name, settings) => {
  it("an open RPC runs, whatever token it shows", async () => {
    const { call, handled } = start(settings);
    expect(await call(getBulletin, "expired")).toMatchObject({ text: "welcome" });
    expect(handled).toEqual([{ rpc: "getBulletin", mailboxId: undefined }]);
  });

  it("a protected RPC runs for its caller, and is counted", async () => {
    const { call, handled, guard } = start(settings);
    expect(await call(sendLetter, "right", { mailboxId: 7n })).toMatchObject({ mailboxId: 7n });
    expect(handled).toEqual([{ rpc: "sendLetter", mailboxId: 7n }]);
    expect(guard.counters().find(({ method }) => method === "SendLetter")?.allowed).toBe(1);
  });

  it("a token that is refused is refused by its headers", async () => {
    const { admit, events } = start(settings);
    await expect((async () => admit(sendLetter, "expired"))()).rejects.toMatchObject(refused);
    expect(events).toMatchObject([{ method: "SendLetter", reason: "expired" }]);
  });

  it("a request that names another is denied, and its handler does not run", async () => {
    const { call, handled, events } = start(settings);
    await expect(call(sendLetter, "right", { mailboxId: 8n })).rejects.toMatchObject({
      code: Code.PermissionDenied,
      rawMessage: "Permission denied.",
    });
    expect(handled).toEqual([]);
    expect(events).toMatchObject([
      {
        method: "SendLetter",
        credential: "session",
        reason:
          "countersign.example.v1.SendLetterRequest.mailbox_id is not what the credential proves",
      },
    ]);
  });

  it("a verdict of another RPC does not do", async () => {
    const { admit, run, handled, events } = start(settings);
    const verdict = await admit(countLetters, "right");
    await expect(run(sendLetter, verdict)).rejects.toMatchObject(refused);
    expect(handled).toEqual([]);
    expect(events).toMatchObject([{ method: "SendLetter", reason: "the gate has not run" }]);
  });

  it.each<[string, (answer: unknown) => unknown]>([
    ["at once", (answer) => answer],
    ["later", async (answer) => answer],
  ])("a token that was revoked while the body came is refused %s", async (_when, as) => {
    let clock = 0;
    const { admit, run, handled, events } = start({
      ...settings,
      now: () => clock,
      verify: (_token, { isRecheck }) => as(isRecheck ? refusal("revoked") : { mailboxId: 7n }),
    });
    const verdict = await admit(sendLetter, "right");
    clock = 1_001;
    await expect(run(sendLetter, verdict)).rejects.toMatchObject(refused);
    expect(handled).toEqual([]);
    expect(events).toMatchObject([{ reason: "revoked", credential: "session" }]);
  });

  it("a token is asked about once where nothing took long, by the machine's clock", async () => {
    const asked: boolean[] = [];
    const { call } = start({
      ...settings,
      verify: (_token, { isRecheck }) => {
        asked.push(isRecheck);
        return { mailboxId: 7n };
      },
    });
    await call(sendLetter, "right");
    expect(asked).toEqual([false]);
  });

  it("a token that is good after all is asked about once more only", async () => {
    let clock = 0;
    const asked: boolean[] = [];
    const { admit, run, handled } = start({
      ...settings,
      now: () => clock,
      verify: async (_token, { isRecheck }) => {
        asked.push(isRecheck);
        return { mailboxId: 7n };
      },
    });
    const verdict = await admit(sendLetter, "right");
    clock = 1_000;
    await run(sendLetter, verdict);
    expect(asked).toEqual([false]);
    clock = 1_001;
    await run(sendLetter, verdict);
    clock = 2_001;
    await run(sendLetter, verdict);
    expect(asked).toEqual([false, true]);
    expect(handled).toHaveLength(3);
  });

  it("an RPC that is not implemented says so to who passes", async () => {
    const nothing = service(sessionPolicy, {
      getBulletin: unimplemented,
      openSession: unimplemented,
      countLetters: unimplemented,
      sendLetter: unimplemented,
      watchLetters: unimplemented,
      importLetters: unimplemented,
      converse: unimplemented,
    });
    const guard = guardOf([nothing], { session: verifySession }, settings);
    const [route] = guard.unaryRoutes();
    const verdict = await route?.admit(() => [], new AbortController());
    const call = async () =>
      verdict &&
      route?.run(verdict, create(getBulletin.input), {
        signal: new AbortController().signal,
        contextFor: (caller) => contextFor(getBulletin, caller),
      });
    await expect(call()).rejects.toMatchObject({
      code: Code.Unimplemented,
      rawMessage: "countersign.example.v1.Mailbox.GetBulletin is not implemented",
    });
  });
});

it("interceptors run in their order, and what they see is bound", async () => {
  const seen: unknown[] = [];
  const note =
    (name: string): Interceptor =>
    (next) =>
    (request) => {
      const message: Message | undefined = request.stream ? undefined : request.message;
      seen.push([name, message]);
      return next(request);
    };
  const { call } = start({ interceptors: [note("outer"), note("inner")] });
  await call(sendLetter, "right", { session: "right" });
  const bound = create(sendLetter.input, { mailboxId: 7n });
  expect(seen).toEqual([
    ["outer", bound],
    ["inner", bound],
  ]);
});

it("interceptors and handlers share context values, and none can touch the verdict", async () => {
  const key = createContextKey("unset");
  const seen: unknown[] = [];
  const setting: Interceptor = (next) => (request) => {
    const { contextValues } = request;
    const chained = contextValues.set(key, "first").set(key, "second");
    chained.delete(verdictKey).set(verdictKey, undefined);
    seen.push(chained === contextValues, contextValues.get(key));
    return next(request);
  };
  const removing: Interceptor = (next) => async (request) => {
    seen.push(request.contextValues.get(key), request.contextValues.get(verdictKey)?.method.name);
    request.contextValues.delete(key);
    seen.push(request.contextValues.get(key));
    return next(request);
  };
  const { call, handled } = start({ interceptors: [setting, removing] });
  await call(sendLetter, "right");
  expect(seen).toEqual([true, "second", "second", "SendLetter", "unset"]);
  expect(handled).toHaveLength(1);
});
