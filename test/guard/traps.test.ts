/**
 * The guard cannot be lost (promise 10): what goes wrong below it or beside it
 * refuses.
 */
import type { AddressInfo } from "node:net";
import {
  Code,
  type ConnectRouter,
  createConnectRouter,
  createRouterTransport,
} from "@connectrpc/connect";
import { expressConnectMiddleware } from "@connectrpc/connect-express";
import { fastifyConnectPlugin } from "@connectrpc/connect-fastify";
import {
  connectNodeAdapter,
  createConnectTransport,
  createGrpcTransport,
} from "@connectrpc/connect-node";
import { createRouterTransport as createOldRouterTransport } from "connect-2.1.2";
import {
  createAuthenticatedClient,
  createGuard,
  createOpenClient,
  inProcess,
  parseToken,
  transportTo,
} from "countersign";
import express from "express";
import { fastify } from "fastify";
import { afterAll, describe, expect, it } from "vitest";
import { collect, listen, sessionPolicy } from "../client/mailbox.ts";
import { mailboxService, verifySession } from "./mailbox-service.ts";

const refused = { code: Code.Unauthenticated, rawMessage: "Authentication failed." };

function guarded() {
  const { mailbox, handled } = mailboxService();
  const reasons: string[] = [];
  const guard = createGuard({
    services: [mailbox],
    verifiers: { session: verifySession },
    onDecision: ({ reason }) => reasons.push(reason),
  });
  return { guard, handled, reasons };
}

type Client = ReturnType<typeof clientOf>;
const clientOf = (transport: Parameters<typeof inProcess>[0], token: string) =>
  createAuthenticatedClient(sessionPolicy, inProcess(transport), { session: parseToken(token) });

async function* one() {
  yield { mailboxId: 7n };
}

const everyCall: [string, (client: Client) => Promise<unknown>][] = [
  ["getBulletin", (client) => client.getBulletin({})],
  ["openSession", (client) => client.openSession({})],
  ["countLetters", (client) => client.countLetters({})],
  ["sendLetter", (client) => client.sendLetter({})],
  ["watchLetters", (client) => collect(client.watchLetters({ limit: 1 }))],
  ["importLetters", (client) => client.importLetters(one())],
  ["converse", (client) => collect(client.converse(one()))],
];

/** A router that changes what the guard registers with it. */
function tampering(
  router: ConnectRouter,
  change: (options: object | undefined) => object | undefined,
): ConnectRouter {
  return {
    handlers: router.handlers,
    service: router.service,
    rpc(method, implementation, options) {
      router.rpc(method, implementation, change(options));
      return this;
    },
  };
}

describe("every RPC, the open ones too, is refused with the right token", () => {
  it.each(everyCall)("on connect 2.1.2, which knows no gate: %s", async (_rpc, call) => {
    const { guard, handled } = guarded();
    // The two versions' routers differ in nothing but the option that 2.1 ignores.
    const transport = createOldRouterTransport(guard.routes as never);
    await expect(call(clientOf(transport, "right"))).rejects.toMatchObject(refused);
    expect(handled).toEqual([]);
  });

  it.each(everyCall)("when an option removes the gate: %s", async (_rpc, call) => {
    const { guard, handled, reasons } = guarded();
    const transport = createRouterTransport((router) =>
      guard.routes(tampering(router, (options) => ({ ...options, requestGate: undefined }))),
    );
    await expect(call(clientOf(transport, "right"))).rejects.toMatchObject(refused);
    expect(handled).toEqual([]);
    expect(reasons).toEqual(["the gate has not run"]);
  });

  it.each(everyCall)("when an option replaces the gate: %s", async (_rpc, call) => {
    const { guard, handled } = guarded();
    const transport = createRouterTransport((router) =>
      guard.routes(tampering(router, (options) => ({ ...options, requestGate: () => undefined }))),
    );
    await expect(call(clientOf(transport, "right"))).rejects.toMatchObject(refused);
    expect(handled).toEqual([]);
  });

  it.each(everyCall)("when an option removes the binding: %s", async (_rpc, call) => {
    const { guard, handled, reasons } = guarded();
    const transport = createRouterTransport((router) =>
      guard.routes(tampering(router, (options) => ({ ...options, interceptors: [] }))),
    );
    await expect(call(clientOf(transport, "right"))).rejects.toMatchObject(refused);
    expect(handled).toEqual([]);
    expect(reasons).toEqual(["the guard's interceptor has not run"]);
  });

  it.each(everyCall)("when all options are dropped: %s", async (_rpc, call) => {
    const { guard, handled } = guarded();
    const transport = createRouterTransport((router) =>
      guard.routes(tampering(router, () => undefined)),
    );
    await expect(call(clientOf(transport, "right"))).rejects.toMatchObject(refused);
    expect(handled).toEqual([]);
  });

  it.each(everyCall)("when an interceptor replaces the context values: %s", async (_rpc, call) => {
    const { mailbox, handled } = mailboxService();
    const guard = createGuard({
      services: [mailbox],
      verifiers: { session: verifySession },
      interceptors: [
        (next) => (request) => {
          for (const id of Object.getOwnPropertySymbols(request.contextValues)) {
            Reflect.deleteProperty(request.contextValues, id);
          }
          return next({ ...request, contextValues: emptyValues() });
        },
      ],
    });
    const transport = createRouterTransport(guard.routes);
    await expect(call(clientOf(transport, "right"))).rejects.toMatchObject(refused);
    expect(handled).toEqual([]);
  });
});

function emptyValues() {
  const values = new Map<symbol, unknown>();
  return {
    get: <T>({ id, defaultValue }: { id: symbol; defaultValue: T }): T =>
      values.has(id) ? (values.get(id) as T) : defaultValue,
    set<T>({ id }: { id: symbol }, value: T) {
      values.set(id, value);
      return this;
    },
    delete({ id }: { id: symbol }) {
      values.delete(id);
      return this;
    },
  };
}

it("a verdict for one RPC does not open another", async () => {
  // The gate of an open RPC in front of the handler of a protected one.
  const { guard, handled } = guarded();
  const transport = createRouterTransport((router) => {
    let openGate: object | undefined;
    guard.routes(
      tampering(router, (options) => {
        openGate ??= options;
        return { ...options, requestGate: Reflect.get(openGate ?? {}, "requestGate") };
      }),
    );
  });
  await clientOf(transport, "right").getBulletin({});
  await expect(clientOf(transport, "right").countLetters({})).rejects.toMatchObject(refused);
  expect(handled.map(({ rpc }) => rpc)).toEqual(["getBulletin"]);
});

it("connect drops a router's interceptors for guarded RPCs, so the guard takes its own", async () => {
  const seen: string[] = [];
  const { mailbox } = mailboxService();
  const spy = (name: string) => (next: (r: never) => unknown) => (request: never) => {
    seen.push(name);
    return next(request);
  };
  const guard = createGuard({
    services: [mailbox],
    verifiers: { session: verifySession },
    interceptors: [spy("the guard's") as never],
  });
  const router = createConnectRouter({ interceptors: [spy("the router's") as never] });
  guard.routes(router);
  const transport = createRouterTransport((other) => other.handlers.push(...router.handlers));
  await clientOf(transport, "right").countLetters({});
  expect(seen).toEqual(["the guard's"]);
});

describe("servers that are not ours", () => {
  const stops: (() => Promise<unknown>)[] = [];
  afterAll(() => Promise.all(stops.map((stop) => stop())));

  const servers: [string, () => Promise<{ url: string; handled: readonly unknown[] }>][] = [
    [
      "Fastify",
      async () => {
        const { guard, handled } = guarded();
        const server = fastify();
        await server.register(fastifyConnectPlugin, { routes: guard.routes });
        const url = await server.listen({ host: "127.0.0.1", port: 0 });
        stops.push(() => server.close());
        return { url, handled };
      },
    ],
    [
      "Express",
      async () => {
        const { guard, handled } = guarded();
        const app = express();
        app.use(expressConnectMiddleware({ routes: guard.routes }));
        const server = app.listen(0, "127.0.0.1");
        await new Promise((resolve) => server.once("listening", resolve));
        stops.push(() => new Promise((resolve) => server.close(resolve)));
        return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, handled };
      },
    ],
    [
      "connect's Node adapter",
      async () => {
        const { guard, handled } = guarded();
        const server = await listen("1.1", connectNodeAdapter({ routes: guard.routes }));
        stops.push(() => server.close());
        return { url: server.url, handled };
      },
    ],
  ];

  it.each(servers)("%s: the guard holds on HTTP/1.1", async (_name, startServer) => {
    const { url, handled } = await startServer();
    const transport = transportTo(createConnectTransport, { baseUrl: url, httpVersion: "1.1" });
    const as = (token: string) =>
      createAuthenticatedClient(sessionPolicy, transport, { session: parseToken(token) });
    expect((await createOpenClient(sessionPolicy, transport).getBulletin({})).text).toBe("welcome");
    expect((await as("right").sendLetter({ mailboxId: 7n })).mailboxId).toBe(7n);
    expect(await as("right").importLetters(one())).toMatchObject({ count: 1 });
    const before = handled.length;
    for (const token of ["unknown", "expired"]) {
      await expect(as(token).sendLetter({})).rejects.toMatchObject(refused);
      await expect(as(token).importLetters(one())).rejects.toMatchObject(refused);
      await expect(collect(as(token).watchLetters({}))).rejects.toMatchObject(refused);
    }
    await expect(as("other").sendLetter({ mailboxId: 7n })).rejects.toMatchObject({
      code: Code.PermissionDenied,
    });
    // A header sent twice arrives here as "right, right".
    const twice = await fetch(`${url}/countersign.example.v1.Mailbox/CountLetters`, {
      method: "POST",
      headers: [
        ["content-type", "application/json"],
        ["mailbox-session", "right"],
        ["mailbox-session", "right"],
      ],
      body: "{}",
    });
    expect([twice.status, await twice.json()]).toEqual([
      401,
      { code: "unauthenticated", message: "Authentication failed." },
    ]);
    expect(handled).toHaveLength(before);
  });

  it("connect's Node adapter on HTTP/2: the guard holds over gRPC", async () => {
    const { guard, handled } = guarded();
    const server = await listen("2", connectNodeAdapter({ routes: guard.routes }));
    stops.push(() => server.close());
    const transport = transportTo(createGrpcTransport, { baseUrl: server.url });
    const as = (token: string) =>
      createAuthenticatedClient(sessionPolicy, transport, { session: parseToken(token) });
    expect(await collect(as("right").converse(one()))).toHaveLength(1);
    await expect(collect(as("unknown").converse(one()))).rejects.toMatchObject(refused);
    expect(handled).toHaveLength(1);
  });
});
