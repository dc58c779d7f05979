/**
 * What observers, verifiers, adapters, handlers and rules of others can do to a
 * guard, and what must hold all the same.
 */

import { getEventListeners, once } from "node:events";
import { request } from "node:http";
import { inspect } from "node:util";
import {
  Code,
  createContextValues,
  createRouterTransport,
  type HandlerContext,
} from "@connectrpc/connect";
import {
  connectNodeAdapter,
  createConnectTransport,
  createGrpcTransport,
} from "@connectrpc/connect-node";
import {
  createAuthenticatedClient,
  createGuard,
  credential,
  type DecisionEvent,
  definePolicy,
  type GuardSettings,
  inProcess,
  open,
  parseToken,
  refusal,
  requires,
  service,
  transportTo,
  unimplemented,
} from "countersign";
import { serve } from "countersign/serve";
import { describe, expect, it } from "vitest";
import { Mailbox } from "../../gen/countersign/example/v1/mailbox_pb.ts";
import { rawHeadersKey } from "../../src/guard/verdict.ts";
import { listen, session, sessionPolicy } from "../client/mailbox.ts";
import { mailboxService, verifySession } from "./mailbox-service.ts";

const refused = { code: Code.Unauthenticated, rawMessage: "Authentication failed." };
const six = {
  getBulletin: unimplemented,
  openSession: unimplemented,
  countLetters: unimplemented,
  sendLetter: unimplemented,
  watchLetters: unimplemented,
  converse: unimplemented,
};

function inThisProcess(
  guard: { routes: Parameters<typeof createRouterTransport>[0] },
  token = "right",
) {
  return createAuthenticatedClient(sessionPolicy, inProcess(createRouterTransport(guard.routes)), {
    session: parseToken(token),
  });
}

it("an observer that rejects ends nothing", async () => {
  const { mailbox } = mailboxService();
  const unhandled: unknown[] = [];
  const note = (reason: unknown) => unhandled.push(reason);
  process.on("unhandledRejection", note);
  try {
    const guard = createGuard({
      services: [mailbox],
      verifiers: { session: verifySession },
      onDecision: async () => {
        throw new Error("the log store is down");
      },
    });
    await expect(inThisProcess(guard, "unknown").countLetters({})).rejects.toMatchObject(refused);
    await new Promise((resolve) => setImmediate(resolve));
    expect(unhandled).toEqual([]);
  } finally {
    process.off("unhandledRejection", note);
  }
});

describe("a credential that proves nothing but itself", () => {
  const operator = credential("operator", { header: "operator-token", claims: {} });
  const policy = definePolicy(Mailbox, {
    getBulletin: open,
    openSession: open,
    countLetters: requires(operator),
    sendLetter: requires(operator),
    watchLetters: requires(operator),
    importLetters: requires(operator),
    converse: requires(operator),
  });
  const call = async (answer: unknown) => {
    const guard = createGuard({
      services: [
        service(policy, {
          ...six,
          importLetters: unimplemented,
          countLetters: () => ({ count: 99 }),
        }),
      ],
      verifiers: { operator: () => answer as object },
    });
    const transport = inProcess(createRouterTransport(guard.routes));
    const token = parseToken("any");
    return createAuthenticatedClient(policy, transport, { operator: token }).countLetters({});
  };

  it("is accepted with the empty object alone", async () => {
    expect((await call({})).count).toBe(99);
  });

  it.each<[string, unknown]>([
    ["an error", new Error("no such token")],
    ["a list", []],
    ["an answer of another kind", { allowed: false }],
    ["true", true],
    [
      "a refusal of another copy of the package",
      { [Symbol.for("countersign.refusal")]: true, reason: "x" },
    ],
  ])("is refused when the verifier answers with %s", async (_what, answer) => {
    await expect(call(answer)).rejects.toMatchObject(refused);
  });
});

it("an adapter that shares context values does not mix up its callers", async () => {
  const { mailbox, handled } = mailboxService();
  const gates: (() => void)[] = [];
  const guard = createGuard({
    services: [mailbox],
    verifiers: { session: verifySession },
    interceptors: [
      (next) => async (request) => {
        // The first caller waits here until the second is through its gate.
        if (gates.length === 0) {
          await new Promise<void>((resolve) => gates.push(resolve));
        } else {
          gates[0]?.();
        }
        return next(request);
      },
    ],
  });
  const shared = createContextValues();
  const server = await listen(
    "1.1",
    connectNodeAdapter({ routes: guard.routes, contextValues: () => shared }),
  );
  try {
    const transport = transportTo(createConnectTransport, {
      baseUrl: server.url,
      httpVersion: "1.1",
    });
    const as = (token: string) =>
      createAuthenticatedClient(sessionPolicy, transport, { session: parseToken(token) });
    const first = as("right").sendLetter({});
    await expect.poll(() => gates.length).toBe(1);
    const second = as("other").sendLetter({});
    expect([(await first).mailboxId, (await second).mailboxId]).toEqual([7n, 8n]);
    expect(handled.map(({ mailboxId }) => mailboxId).sort()).toEqual([7n, 8n]);
  } finally {
    await server.close();
  }
});

it("a call is refused when the verdict in its context values has become another's", async () => {
  const { mailbox, handled } = mailboxService();
  const verified: string[] = [];
  const events: DecisionEvent[] = [];
  const guard = createGuard({
    services: [mailbox],
    verifiers: {
      session: (token) => {
        verified.push(token);
        return verifySession(token);
      },
    },
    onDecision: (event) => events.push(event),
  });
  const shared = createContextValues();
  const server = await listen(
    "1.1",
    connectNodeAdapter({ routes: guard.routes, contextValues: () => shared }),
  );
  try {
    // The first call's gate has run, and its body is still to come, when the second's runs.
    const slow = request(`${server.url}/countersign.example.v1.Mailbox/SendLetter`, {
      method: "POST",
      headers: { "content-type": "application/json", "mailbox-session": "other" },
    });
    const answer = once(slow, "response");
    slow.flushHeaders();
    await expect.poll(() => verified).toEqual(["other"]);
    const transport = transportTo(createConnectTransport, {
      baseUrl: server.url,
      httpVersion: "1.1",
    });
    const right = { session: parseToken("right") };
    await createAuthenticatedClient(sessionPolicy, transport, right).sendLetter({});
    slow.end("{}");
    const [{ statusCode }] = await answer;
    expect(statusCode).toBe(401);
    expect(handled).toEqual([{ rpc: "sendLetter", mailboxId: 7n }]);
    expect(events.map(({ reason }) => reason)).toEqual(["the verdict is another call's"]);
  } finally {
    await server.close();
  }
});

it("a header that a listener has seen twice is refused, though connect shows it once", async () => {
  const { mailbox, handled } = mailboxService();
  const events: DecisionEvent[] = [];
  const guard = createGuard({
    services: [mailbox],
    verifiers: { session: verifySession },
    onDecision: (event) => events.push(event),
  });
  const twice: [string, string][] = [
    ["Mailbox-Session", "right"],
    ["mailbox-session", "right"],
  ];
  const server = await listen(
    "1.1",
    connectNodeAdapter({
      routes: guard.routes,
      contextValues: () => createContextValues().set(rawHeadersKey, twice),
    }),
  );
  try {
    const transport = transportTo(createConnectTransport, {
      baseUrl: server.url,
      httpVersion: "1.1",
    });
    const right = { session: parseToken("right") };
    const call = createAuthenticatedClient(sessionPolicy, transport, right).sendLetter({});
    await expect(call).rejects.toMatchObject(refused);
    expect(handled).toEqual([]);
    expect(events).toMatchObject([{ reason: "header mailbox-session was sent 2 times" }]);
  } finally {
    await server.close();
  }
});

it("a stream that is over is not verified any more", async () => {
  const asked = new Map<string, number>();
  const { mailbox } = mailboxService();
  const guard = createGuard({
    services: [mailbox],
    verifiers: {
      session: (token) => {
        asked.set(token, (asked.get(token) ?? 0) + 1);
        return verifySession(token);
      },
    },
    recheckStreamMs: 5,
  });
  const lasting = inThisProcess(guard, "other").watchLetters({})[Symbol.asyncIterator]();
  await lasting.next();
  const short = inThisProcess(guard, "right").watchLetters({ limit: 1 });
  for await (const _ of short) {
    // Only its end is waited for.
  }
  const askedAtEnd = asked.get("right");
  const until = (asked.get("other") ?? 0) + 10;
  await expect.poll(() => asked.get("other")).toBeGreaterThan(until);
  expect(asked.get("right")).toBe(askedAtEnd);
  await lasting.return?.();
});

describe("a stream that is refused later on", () => {
  /** An upload whose handler says how its input ended. */
  function uploads(settings: GuardSettings) {
    let isRevoked = false;
    const inputs: string[] = [];
    const started = Promise.withResolvers<void>();
    const ended = Promise.withResolvers<void>();
    const mailbox = service(sessionPolicy, {
      ...six,
      async importLetters(requests) {
        let count = 0;
        try {
          for await (const _ of requests) {
            count++;
            started.resolve();
          }
          inputs.push(`complete after ${count}`);
        } catch {
          inputs.push(`cut off after ${count}`);
        } finally {
          ended.resolve();
        }
        return { count };
      },
    });
    return {
      inputs,
      started: started.promise,
      ended: ended.promise,
      revoke: () => {
        isRevoked = true;
      },
      options: {
        services: [mailbox],
        verifiers: {
          session: (token: string) => (isRevoked ? refusal("revoked") : verifySession(token)),
        },
        ...settings,
      } as const,
    };
  }

  /** Sends one letter, and no more until the call is over. */
  async function* oneAndWait(over: Promise<unknown>) {
    yield { mailboxId: 7n };
    await over;
  }

  it.each([
    ["gRPC on HTTP/2", (baseUrl: string) => transportTo(createGrpcTransport, { baseUrl })],
    [
      "Connect on HTTP/1.1",
      (baseUrl: string) => transportTo(createConnectTransport, { baseUrl, httpVersion: "1.1" }),
    ],
  ] as const)("never looks complete to its handler: %s", async (_name, connect) => {
    const upload = uploads({ recheckStreamMs: 10 });
    const server = await serve({ ...upload.options, port: 0 });
    try {
      const client = createAuthenticatedClient(sessionPolicy, connect(server.url), {
        session: parseToken("right"),
      });
      const call = client.importLetters(oneAndWait(upload.ended));
      await upload.started;
      upload.revoke();
      await upload.ended;
      expect(upload.inputs).toEqual(["cut off after 1"]);
      await expect(call).rejects.toMatchObject(refused);
    } finally {
      await server.close({ graceMs: 1 });
    }
  });

  it("never looks complete to its handler: in memory", async () => {
    const upload = uploads({ recheckStreamMs: 10 });
    const call = inThisProcess(createGuard(upload.options)).importLetters(oneAndWait(upload.ended));
    await upload.started;
    upload.revoke();
    await upload.ended;
    expect(upload.inputs).toEqual(["cut off after 1"]);
    await expect(call).rejects.toMatchObject(refused);
  });

  it("ends when a verification does not come back before the next is due", async () => {
    let asked = 0;
    const upload = uploads({ recheckStreamMs: 20 });
    const guard = createGuard({
      ...upload.options,
      verifiers: {
        session: () => (asked++ === 0 ? { mailboxId: 7n } : new Promise<never>(() => undefined)),
      },
    });
    const call = inThisProcess(guard).importLetters(oneAndWait(upload.ended));
    await upload.ended;
    expect([asked, upload.inputs]).toEqual([2, ["cut off after 1"]]);
    await expect(call).rejects.toMatchObject(refused);
  });
});

it("a server-streaming handler does not run when its token was revoked while the body came", async () => {
  let clock = 0;
  let asked = 0;
  const { mailbox, handled } = mailboxService();
  const guard = createGuard({
    services: [mailbox],
    verifiers: { session: () => (asked++ === 0 ? { mailboxId: 7n } : refusal("revoked")) },
    now: () => {
      clock += 1_001;
      return clock;
    },
  });
  const letters = inThisProcess(guard).watchLetters({ limit: 1 })[Symbol.asyncIterator]();
  await expect(letters.next()).rejects.toMatchObject(refused);
  expect([asked, handled]).toEqual([2, []]);
});

it("a stream of requests is verified again by the clock of streams, not by each message", async () => {
  let clock = 0;
  const asked: boolean[] = [];
  const { mailbox } = mailboxService();
  const guard = createGuard({
    services: [mailbox],
    verifiers: {
      session: (_token, { isRecheck }) => {
        asked.push(isRecheck);
        return { mailboxId: 7n };
      },
    },
    now: () => (clock += 1_001),
  });
  const client = inThisProcess(guard);
  const letters = async function* () {
    yield* [{ mailboxId: 7n }, { mailboxId: 7n }];
  };
  expect((await client.importLetters(letters())).count).toBe(2);
  expect(asked).toEqual([false]);
});

it("an open RPC whose body took long has nothing to verify again", async () => {
  let clock = 0;
  const { mailbox } = mailboxService();
  const guard = createGuard({
    services: [mailbox],
    verifiers: {
      session: () => {
        throw new Error("not asked");
      },
    },
    now: () => (clock += 1_001),
  });
  expect((await inThisProcess(guard).getBulletin({})).text).toBe("welcome");
  expect(guard.counters()[0]).toMatchObject({ method: "GetBulletin", allowed: 1, refused: 0 });
});

it("a clock that tells no time verifies every call again", async () => {
  let asked = 0;
  const { mailbox } = mailboxService();
  const guard = createGuard({
    services: [mailbox],
    verifiers: {
      session: () => {
        asked++;
        return { mailboxId: 7n };
      },
    },
    now: () => Number.NaN,
  });
  await inThisProcess(guard).countLetters({});
  expect(asked).toBe(2);
});

it.each<[string, (secret: string) => unknown]>([
  ["in its message", (secret) => new Error(`no token ${secret}`)],
  ["in its cause", (secret) => new Error("no", { cause: new Error(secret) })],
  ["in a property", (secret) => Object.assign(new Error("no"), { detail: secret })],
  ["in one of many", (secret) => new AggregateError([new Error(secret)], "no")],
  ["in an object", (secret) => ({ token: secret })],
])("a report shows no secret that a verifier's error has %s", async (_where, errorOf) => {
  const events: DecisionEvent[] = [];
  const { mailbox } = mailboxService();
  const guard = createGuard({
    services: [mailbox],
    verifiers: {
      session: (token) => {
        throw errorOf(token);
      },
    },
    onDecision: (event) => events.push(event),
  });
  await expect(inThisProcess(guard, "s3cret-token").countLetters({})).rejects.toMatchObject(
    refused,
  );
  expect(events).toHaveLength(1);
  expect(inspect(events, { depth: null, showHidden: true })).not.toContain("s3cret-token");
});

it.each([
  ["gRPC", (baseUrl: string) => transportTo(createGrpcTransport, { baseUrl })],
  [
    "Connect",
    (baseUrl: string) => transportTo(createConnectTransport, { baseUrl, httpVersion: "2" }),
  ],
] as const)("a handler's context shows the secret nowhere: %s", async (_protocol, connect) => {
  const contexts: HandlerContext[] = [];
  const mailbox = service(sessionPolicy, {
    ...six,
    importLetters: unimplemented,
    countLetters: (_request, context) => {
      contexts.push(context);
      return { count: 0 };
    },
  });
  const server = await serve({
    services: [mailbox],
    verifiers: { session: () => ({ mailboxId: 7n }) },
    port: 0,
  });
  try {
    const token = parseToken("s3cret-token");
    await createAuthenticatedClient(sessionPolicy, connect(server.url), {
      session: token,
    }).countLetters({});
    expect(contexts).toHaveLength(1);
    for (const context of contexts) {
      // With hidden properties Headers shows its insides, and not its entries. Below this
      // depth there are descriptors only, many megabytes of them.
      for (const showHidden of [false, true]) {
        const shown = inspect(context, { depth: 7, showHidden });
        expect(shown).toContain("mailboxId: 7n");
        expect(shown).not.toContain("s3cret-token");
      }
      expect([...context.requestHeader].flat()).not.toContain("s3cret-token");
      expect(context.values.get(rawHeadersKey)).toBeUndefined();
    }
  } finally {
    await server.close();
  }
});

it("a protected GET is not stored, whatever its handler says", async () => {
  const mailbox = service(sessionPolicy, {
    ...six,
    importLetters: unimplemented,
    countLetters: (_request, { responseHeader }) => {
      responseHeader.set("cache-control", "public, max-age=60");
      return { count: 3 };
    },
  });
  const server = await serve({
    services: [mailbox],
    verifiers: { session: verifySession },
    port: 0,
  });
  try {
    const path =
      "/countersign.example.v1.Mailbox/CountLetters?connect=v1&encoding=json&message=%7B%7D";
    const headers = { "mailbox-session": "right" };
    const answer = await fetch(server.url + path, { headers });
    expect([answer.status, answer.headers.get("cache-control")]).toEqual([200, "no-store"]);
    // What is no GET is not stored anyway.
    const posted = await fetch(`${server.url}/countersign.example.v1.Mailbox/CountLetters`, {
      method: "POST",
      headers: { ...headers, "content-type": "application/json" },
      body: "{}",
    });
    expect(posted.headers.get("cache-control")).toBe("public, max-age=60");
  } finally {
    await server.close();
  }
});

it("an open GET may be stored", async () => {
  const { mailbox } = mailboxService();
  const guard = createGuard({ services: [mailbox], verifiers: { session: verifySession } });
  const server = await listen("1.1", connectNodeAdapter({ routes: guard.routes }));
  try {
    const path =
      "/countersign.example.v1.Mailbox/GetBulletin?connect=v1&encoding=json&message=%7B%7D";
    const answer = await fetch(server.url + path);
    expect([answer.status, answer.headers.get("cache-control")]).toEqual([200, null]);
  } finally {
    await server.close();
  }
});

it("a refused GET is not stored, by servers that are not ours either", async () => {
  const { mailbox } = mailboxService();
  const guard = createGuard({ services: [mailbox], verifiers: { session: verifySession } });
  const server = await listen("1.1", connectNodeAdapter({ routes: guard.routes }));
  try {
    const path =
      "/countersign.example.v1.Mailbox/CountLetters?connect=v1&encoding=json&message=%7B%7D";
    const answer = await fetch(server.url + path);
    expect([answer.status, answer.headers.get("cache-control")]).toEqual([401, "no-store"]);
  } finally {
    await server.close();
  }
});

it("registering twice is an error at start", () => {
  const { mailbox } = mailboxService();
  const guard = createGuard({ services: [mailbox], verifiers: { session: verifySession } });
  expect(() =>
    createRouterTransport((router) => {
      guard.routes(router);
      guard.routes(router);
    }),
  ).toThrow(new TypeError("countersign.example.v1.Mailbox.GetBulletin is already registered"));
});

it.each<[string, object, string]>([
  ["a clock", { now: "x" }, '"now" must be a function'],
  ["an observer", { onDecision: "log" }, '"onDecision" must be a function'],
  ["interceptors", { interceptors: () => {} }, '"interceptors" must be a list of interceptors'],
])("refuses %s that is none", (_what, options, text) => {
  const { mailbox } = mailboxService();
  const given = { services: [mailbox], verifiers: { session: verifySession }, ...options };
  expect(() => createGuard(given as never)).toThrow(new TypeError(text));
});

it("refuses a copy of a rule, which may say something else", () => {
  const copy = { ...requires(session), isUnbound: true };
  const rules = { ...sessionPolicy.rules, converse: copy };
  expect(() => definePolicy(Mailbox, rules as never)).toThrow(
    "converse needs a rule: open, requires(...) or anyOf(...)",
  );
});

it("leaves no listeners on a call's signal, while a stream lasts and when it is over", async () => {
  const signals: AbortSignal[] = [];
  const meanwhile: number[] = [];
  const mailbox = service(sessionPolicy, {
    ...six,
    async importLetters(requests, { signal }) {
      signals.push(signal);
      let count = 0;
      for await (const _ of requests) {
        count++;
        meanwhile.push(getEventListeners(signal, "abort").length);
      }
      return { count };
    },
  });
  const guard = createGuard({ services: [mailbox], verifiers: { session: verifySession } });
  async function* many() {
    for (let i = 0; i < 100; i++) {
      yield { mailboxId: 7n };
    }
  }
  expect((await inThisProcess(guard).importLetters(many())).count).toBe(100);
  expect(Math.max(...meanwhile)).toBeLessThan(5);
  expect(signals.map((signal) => getEventListeners(signal, "abort").length)).toEqual([0]);
});
