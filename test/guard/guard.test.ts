import { getEventListeners } from "node:events";
import { FieldDescriptorProto_Type } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createRouterTransport, type Interceptor } from "@connectrpc/connect";
import {
  createAuthenticatedClient,
  createGuard,
  createOpenClient,
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
  unimplemented,
  type VerifyCall,
} from "countersign";
import { describe, expect, it } from "vitest";
import { Mailbox } from "../../gen/countersign/example/v1/mailbox_pb.ts";
import { Health } from "../../gen/grpc/health/v1/health_pb.ts";
import { collect, sessionPolicy } from "../client/mailbox.ts";
import { oneFieldService } from "../policy/one-field-service.ts";
import { mailboxService, verifySession } from "./mailbox-service.ts";

/** A verifier as JavaScript may write it. */
type SessionVerifier = (token: string, call: VerifyCall) => unknown;

/** A guarded Mailbox in this process, and clients for it. */
function start(settings: GuardSettings = {}, verify: SessionVerifier = verifySession) {
  const { mailbox, handled } = mailboxService();
  const events: DecisionEvent[] = [];
  const guard = createGuard({
    services: [mailbox],
    verifiers: { session: verify as typeof verifySession },
    onDecision: (event) => events.push(event),
    ...settings,
  });
  const transport = inProcess(createRouterTransport(guard.routes));
  return {
    handled,
    events,
    guard,
    open: createOpenClient(sessionPolicy, transport),
    as: (token: string) =>
      createAuthenticatedClient(sessionPolicy, transport, { session: parseToken(token) }),
  };
}

const refused = { code: Code.Unauthenticated, rawMessage: "Authentication failed." };
const noHeaders = () => [];
const denied = { code: Code.PermissionDenied, rawMessage: "Permission denied." };

/** Calls all protected RPCs, one of each kind. */
type Client = ReturnType<ReturnType<typeof start>["as"]>;
const protectedCalls: [string, (client: Client, mailboxId: bigint) => Promise<unknown>][] = [
  ["unary", (client, mailboxId) => client.sendLetter({ mailboxId })],
  ["idempotent", (client, mailboxId) => client.countLetters({ mailboxId })],
  [
    "server-streaming",
    (client, mailboxId) => collect(client.watchLetters({ mailboxId, limit: 1 })),
  ],
  ["client-streaming", (client, mailboxId) => client.importLetters(stream({ mailboxId }))],
  ["bidi-streaming", (client, mailboxId) => collect(client.converse(stream({ mailboxId })))],
];

async function* stream<T>(...messages: T[]): AsyncIterable<T> {
  yield* messages;
}

describe("an open RPC", () => {
  it("needs no credential and looks at none", async () => {
    const { open, handled } = start();
    expect((await open.getBulletin({})).text).toBe("welcome");
    const options = { headers: { "mailbox-session": "expired" } };
    expect((await open.openSession({ mailboxId: 7n, key: "key-7" }, options)).session).toBe(
      "right",
    );
    expect(handled.map(({ rpc }) => rpc)).toEqual(["getBulletin", "openSession"]);
  });
});

describe.each(protectedCalls)("a protected %s RPC", (_kind, call) => {
  it("runs for its caller, who may name itself or nobody", async () => {
    const { as, handled } = start();
    await call(as("right"), 7n);
    expect(handled).toEqual([{ rpc: expect.any(String), mailboxId: 7n }]);
  });

  it.each(["unknown", "expired", "revoked", "RIGHT"])(
    "refuses a token that is %s",
    async (token) => {
      const { as, handled } = start();
      await expect(call(as(token), 7n)).rejects.toMatchObject(refused);
      expect(handled).toEqual([]);
    },
  );

  it("denies a caller that names another", async () => {
    const { as, events } = start();
    await expect(call(as("other"), 7n)).rejects.toMatchObject(denied);
    expect(events.at(-1)).toMatchObject({
      service: "countersign.example.v1.Mailbox",
      credential: "session",
      reason: expect.stringMatching(/mailbox_id is not what the credential proves$/),
    });
  });

  it.each<[string, SessionVerifier, string]>([
    [
      "throws",
      () => {
        throw new Error("down");
      },
      "the verifier failed",
    ],
    [
      "throws undefined",
      () => {
        throw undefined;
      },
      "the verifier failed",
    ],
    ["rejects", () => Promise.reject(new Error("down")), "the verifier failed"],
    ["rejects with undefined", () => Promise.reject(), "the verifier failed"],
    [
      "throws an error that says OK",
      () => {
        throw new ConnectError("ok", 0 as Code);
      },
      "the verifier failed",
    ],
    ["answers true", () => true, "the verifier answered with no claims"],
    ["answers null", () => null, "the verifier answered with no claims"],
    ["answers no claims", () => ({}), "the verifier's claim mailboxId is no bigint"],
    [
      "answers a claim of another kind",
      () => ({ mailboxId: 7 }),
      "the verifier's claim mailboxId is no bigint",
    ],
    ["answers undefined", () => undefined, "unknown"],
    ["refuses", () => refusal("banned"), "banned"],
    ["never answers", () => new Promise(() => undefined), "the verifier took too long"],
  ])("refuses when the verifier %s", async (_what, verify, reason) => {
    const { as, handled, events } = start({ verifyTimeoutMs: 20 }, verify);
    await expect(call(as("right"), 7n)).rejects.toMatchObject(refused);
    expect(handled).toEqual([]);
    expect(events.map((event) => event.reason)).toEqual([reason]);
  });
});

describe("the guard", () => {
  it("takes an answer that is a promise by its `then` alone", async () => {
    const thenable = (answer: unknown): PromiseLike<unknown> =>
      Object.assign(Object.create(null), {
        // biome-ignore lint/suspicious/noThenProperty: what is tested
        then: (resolve: (value: unknown) => void) => resolve(answer),
      });
    expect(
      await start({}, () => thenable({ mailboxId: 7n }))
        .as("any")
        .sendLetter({}),
    ).toMatchObject({ mailboxId: 7n });
    const no = start({}, () => thenable(refusal("banned")));
    await expect(no.as("any").sendLetter({})).rejects.toMatchObject(refused);
    // biome-ignore lint/suspicious/noThenProperty: what is tested
    const noPromise = start({}, () => ({ mailboxId: 7n, then: "later" }));
    expect((await noPromise.as("any").sendLetter({})).mailboxId).toBe(7n);
  });

  it.each<[string, string[], string]>([
    ["is missing", [], "missing"],
    ["is empty", [""], "header mailbox-session is empty"],
    ["was sent twice", ["right", "right"], "header mailbox-session was sent 2 times"],
    ["has expired", ["expired"], "expired"],
    ["is unknown", ["wrong"], "unknown"],
  ])("tells operators that a credential %s", async (_what, values, reason) => {
    const { guard, events } = start();
    const admitted = guard.admit(Mailbox.method.sendLetter, () => values, new AbortController());
    await expect(admitted).rejects.toMatchObject(refused);
    expect(events).toEqual([
      {
        service: "countersign.example.v1.Mailbox",
        method: "SendLetter",
        credential: "session",
        reason,
        cause: undefined,
        suppressed: 0,
      },
    ]);
  });

  it("refuses a call that is over before its verifier has answered", async () => {
    const { guard, events } = start({}, async () => ({ mailboxId: 7n }));
    const shown = () => ["right"];
    const over = { signal: AbortSignal.abort() };
    await expect(guard.admit(Mailbox.method.sendLetter, shown, over)).rejects.toMatchObject(
      refused,
    );
    expect(events).toMatchObject([{ reason: "the call ended before it was verified" }]);
  });

  it("leaves neither listeners nor timers when a verifier has answered", async () => {
    const { guard } = start({}, async () => ({ mailboxId: 7n }));
    const timers = () =>
      process.getActiveResourcesInfo().filter((resource) => resource === "Timeout").length;
    const before = timers();
    const call = new AbortController();
    for (let i = 0; i < 20; i++) {
      await guard.admit(Mailbox.method.sendLetter, () => ["right"], call);
    }
    expect(timers() - before).toBeLessThan(10);
    expect(getEventListeners(call.signal, "abort")).toEqual([]);
  });

  it("refuses a verifier that outlives the call's deadline, and tells it to stop", async () => {
    const stopped = Promise.withResolvers<void>();
    const { as, handled } = start({}, (_token, { signal }) => {
      signal.addEventListener("abort", () => stopped.resolve());
      return new Promise(() => undefined);
    });
    await expect(as("right").countLetters({}, { timeoutMs: 200 })).rejects.toBeInstanceOf(
      ConnectError,
    );
    await stopped.promise;
    expect(handled).toEqual([]);
  });

  it("shows the secret to no interceptor's message, no error and no report", async () => {
    const seen: unknown[] = [];
    const spy: Interceptor = (next) => (request) => {
      seen.push(request.stream ? undefined : request.message);
      return next(request);
    };
    const { as, events } = start({ interceptors: [spy] }, (token) => {
      if (token === "s3cret-token") {
        throw new Error(`no such token: ${token}`);
      }
      return verifySession(token);
    });
    await as("right").sendLetter({ session: "right", mailboxId: 7n });
    expect(seen).toMatchObject([{ session: "", mailboxId: 7n }]);
    await expect(as("s3cret-token").sendLetter({})).rejects.toMatchObject(refused);
    expect(JSON.stringify(events)).not.toContain("s3cret-token");
    expect(events.at(-1)).toMatchObject({ reason: "the verifier failed", cause: undefined });
  });

  it("runs interceptors inside its own: none sees a claim that is not bound", async () => {
    const seen: string[] = [];
    const spy: Interceptor = (next) => (request) => {
      seen.push(request.method.name);
      return next(request);
    };
    const { as } = start({ interceptors: [spy] });
    await expect(as("other").sendLetter({ mailboxId: 7n })).rejects.toMatchObject(denied);
    await expect(as("unknown").sendLetter({})).rejects.toMatchObject(refused);
    expect(seen).toEqual([]);
    await as("other").sendLetter({ mailboxId: 8n });
    expect(seen).toEqual(["SendLetter"]);
  });

  it("ends a stream on a mismatch in a later message, even if the handler swallows it", async () => {
    const swallowing = service(sessionPolicy, {
      getBulletin: unimplemented,
      openSession: unimplemented,
      countLetters: unimplemented,
      sendLetter: unimplemented,
      watchLetters: unimplemented,
      importLetters: async (requests) => {
        let count = 0;
        try {
          for await (const _ of requests) {
            count++;
          }
        } catch {
          // What the guard throws here must not be the handler's to decide on.
        }
        return { count };
      },
      async *converse(requests) {
        try {
          for await (const _ of requests) {
            yield {};
          }
        } catch {
          yield { letter: { text: "nothing happened" } };
        }
      },
    });
    const guard = createGuard({ services: [swallowing], verifiers: { session: verifySession } });
    const client = createAuthenticatedClient(
      sessionPolicy,
      inProcess(createRouterTransport(guard.routes)),
      { session: parseToken("right") },
    );
    const messages = () => stream({ mailboxId: 7n }, { mailboxId: 0n }, { mailboxId: 8n });
    await expect(client.importLetters(messages())).rejects.toMatchObject(denied);
    const answers: unknown[] = [];
    const conversation = (async () => {
      for await (const answer of client.converse(messages())) {
        answers.push(answer);
      }
    })();
    await expect(conversation).rejects.toMatchObject(denied);
    expect(answers).toHaveLength(2);
  });

  it("verifies a stream again and ends it when its token is revoked", async () => {
    let isRevoked = false;
    const asked: boolean[] = [];
    const { as, handled, events } = start({ recheckStreamMs: 10 }, (token, { isRecheck }) => {
      asked.push(isRecheck);
      return isRevoked ? refusal("revoked") : verifySession(token);
    });
    const letters = as("right").watchLetters({})[Symbol.asyncIterator]();
    expect((await letters.next()).value?.letter?.text).toBe("first");
    isRevoked = true;
    await expect(letters.next()).rejects.toMatchObject(refused);
    expect(asked.slice(0, 2)).toEqual([false, true]);
    expect(handled).toHaveLength(1);
    expect(events.at(-1)?.reason).toBe("revoked");
  });

  it("verifies again when a body took longer than a second to arrive", async () => {
    // The guard reads its clock when the gate has decided, and again when the body is there.
    let clock = 0;
    const asked: { isRecheck: boolean; isProbe: boolean }[] = [];
    const slow: SessionVerifier = (token, { isRecheck, isProbe }) => {
      asked.push({ isRecheck, isProbe });
      return isRecheck ? refusal("revoked") : verifySession(token);
    };
    const { as, handled } = start({ now: () => (clock += 1_001) }, slow);
    await expect(as("right").sendLetter({})).rejects.toMatchObject(refused);
    // The answer counts, so the second time is no probe either.
    const first = { isRecheck: false, isProbe: false };
    expect(asked.splice(0)).toEqual([first, { isRecheck: true, isProbe: false }]);
    expect(handled).toEqual([]);
    clock = 0;
    const quick = start({ now: () => (clock += 400) }, slow);
    await quick.as("right").sendLetter({});
    expect(asked).toEqual([first]);
  });

  it("counts what it allows and refuses, per RPC", async () => {
    const { as, open, guard } = start();
    await open.getBulletin({});
    await as("right").countLetters({});
    await expect(as("unknown").countLetters({})).rejects.toMatchObject(refused);
    await expect(as("other").countLetters({ mailboxId: 7n })).rejects.toMatchObject(denied);
    await guard.refuseUnknown("/nothing", noHeaders, new AbortController());
    const counts = new Map(
      guard.counters().map(({ method, allowed, refused }) => [method, [allowed, refused]]),
    );
    expect(Object.fromEntries(counts)).toEqual({
      GetBulletin: [1, 0],
      OpenSession: [0, 0],
      CountLetters: [1, 2],
      SendLetter: [0, 0],
      WatchLetters: [0, 0],
      ImportLetters: [0, 0],
      Converse: [0, 0],
      "": [0, 1],
    });
  });

  it("reports at most 100 refusals a second, and how many it left out", async () => {
    let clock = 0;
    const { guard, events } = start({ now: () => clock });
    for (let i = 0; i < 130; i++) {
      await guard.refuseUnknown("/a", noHeaders, new AbortController());
    }
    expect(events).toHaveLength(100);
    clock = 1_000;
    await guard.refuseUnknown("/b", noHeaders, new AbortController());
    expect(events.at(-1)).toMatchObject({ method: "/b", reason: "unknown RPC", suppressed: 30 });
    clock = 1_999;
    await guard.refuseUnknown("/c", noHeaders, new AbortController());
    expect(events.at(-1)).toEqual({
      service: "",
      method: "/c",
      credential: undefined,
      reason: "unknown RPC",
      cause: undefined,
      suppressed: 0,
    });
    expect(events.every(Object.isFrozen)).toBe(true);
    for (let i = 0; i < 130; i++) {
      await guard.refuseUnknown("/d", noHeaders, new AbortController());
    }
    expect(events).toHaveLength(200);
  });

  it("counts nothing for unknown RPCs until there was one", async () => {
    const { guard } = start();
    expect(guard.counters().map(({ method }) => method)).not.toContain("");
    await guard.refuseUnknown("/a", noHeaders, new AbortController());
    expect(guard.counters().at(-1)).toEqual({
      service: "",
      method: "",
      allowed: 0,
      refused: 1,
      unavailable: 0,
    });
  });

  it("refuses all the same when the observer throws", async () => {
    const { as } = start({
      onDecision: () => {
        throw new Error("disk full");
      },
    });
    await expect(as("unknown").countLetters({})).rejects.toMatchObject(refused);
  });

  it("tells who passes that an RPC is not implemented, and nobody else", async () => {
    const nothing = service(sessionPolicy, {
      getBulletin: unimplemented,
      openSession: unimplemented,
      countLetters: unimplemented,
      sendLetter: unimplemented,
      watchLetters: unimplemented,
      importLetters: unimplemented,
      converse: unimplemented,
    });
    const guard = createGuard({ services: [nothing], verifiers: { session: verifySession } });
    const transport = inProcess(createRouterTransport(guard.routes));
    const as = (token: string) =>
      createAuthenticatedClient(sessionPolicy, transport, { session: parseToken(token) });
    for (const [, call] of protectedCalls) {
      await expect(call(as("unknown"), 7n)).rejects.toMatchObject(refused);
      await expect(call(as("right"), 7n)).rejects.toMatchObject({
        code: Code.Unimplemented,
        rawMessage: expect.stringMatching(
          /^countersign\.example\.v1\.Mailbox\.\w+ is not implemented$/,
        ),
      });
    }
  });
});

describe("createGuard", () => {
  const { mailbox } = mailboxService();
  const verifiers = { session: verifySession };
  const smuggle = (options: unknown) => () => createGuard(options as never);

  it.each<[string, unknown, string]>([
    ["no services", { services: [], verifiers: {} }, '"services" must list at least one service'],
    [
      "a service twice",
      { services: [mailbox, mailbox], verifiers },
      '"services" lists countersign.example.v1.Mailbox twice',
    ],
    [
      "a missing verifier",
      { services: [mailbox], verifiers: {} },
      '"verifiers" lacks "session", which a service requires',
    ],
    [
      "a verifier that nothing requires",
      { services: [mailbox], verifiers: { ...verifiers, admin: verifySession } },
      '"verifiers" has "admin", which no service requires',
    ],
    [
      "a verifier that is no function",
      { services: [mailbox], verifiers: { session: "right" } },
      '"verifiers": "session" must be a function',
    ],
    [
      "NaN bytes",
      { services: [mailbox], verifiers, readMaxBytes: Number.NaN },
      '"readMaxBytes" must be a whole number of bytes from 1 to 4294967295',
    ],
    [
      "no list of services",
      { services: { length: 1 }, verifiers: {} },
      '"services" must list at least one service',
    ],
    ...[0, 65.5, -1, 2 ** 32, "5"].map((openReadMaxBytes): [string, unknown, string] => [
      `${openReadMaxBytes} bytes`,
      { services: [mailbox], verifiers, openReadMaxBytes },
      '"openReadMaxBytes" must be a whole number of bytes from 1 to 4294967295',
    ]),
    ...[0, -1, Number.NaN, 60_001, "5"].map((verifyTimeoutMs): [string, unknown, string] => [
      `to wait for ${verifyTimeoutMs} ms`,
      { services: [mailbox], verifiers, verifyTimeoutMs },
      '"verifyTimeoutMs" must be a number of ms above 0 and at most 60000',
    ]),
    [
      "a recheck that is too rare",
      { services: [mailbox], verifiers, recheckStreamMs: 5_001 },
      '"recheckStreamMs" must be a number of ms above 0 and at most 5000',
    ],
    [
      "no recheck",
      { services: [mailbox], verifiers, recheckBodyMs: Number.POSITIVE_INFINITY },
      '"recheckBodyMs" must be a number of ms above 0 and at most 1000',
    ],
  ])("refuses %s", (_what, options, text) => {
    expect(smuggle(options)).toThrow(new TypeError(text));
  });

  it("takes every number of its range", () => {
    const most = {
      openReadMaxBytes: 2 ** 32 - 1,
      readMaxBytes: 1,
      verifyTimeoutMs: 60_000,
      recheckBodyMs: 1_000,
      recheckStreamMs: 5_000,
    };
    expect(smuggle({ services: [mailbox], verifiers, ...most })).not.toThrow();
    const least = { verifyTimeoutMs: 0.1, recheckBodyMs: 0.1, recheckStreamMs: 0.1 };
    expect(smuggle({ services: [mailbox], verifiers, ...least })).not.toThrow();
  });

  it("gives what servers that are not ours need, and nothing that can be changed", () => {
    const guard = createGuard({ services: [mailbox], verifiers });
    expect(Object.keys(guard).sort()).toEqual([
      "admit",
      "counters",
      "isOpen",
      "methods",
      "refuseUnknown",
      "routes",
    ]);
    expect(Object.isFrozen(guard)).toBe(true);
    expect(Object.isFrozen(guard.methods)).toBe(true);
    expect(guard.methods).toEqual(Mailbox.methods);
    expect(guard.methods.filter((method) => guard.isOpen(method)).map(({ name }) => name)).toEqual([
      "GetBulletin",
      "OpenSession",
    ]);
    expect(guard.isOpen(Health.method.check)).toBe(false);
  });

  it("admits by headers alone, and refuses an RPC of another service", async () => {
    const guard = createGuard({ services: [mailbox], verifiers });
    const shown = (name: string) => (name === "mailbox-session" ? ["right"] : []);
    const call = new AbortController();
    expect(await guard.admit(Mailbox.method.sendLetter, shown, call)).toBeUndefined();
    for (const method of [Mailbox.method.sendLetter, Health.method.check]) {
      await expect(guard.admit(method, noHeaders, call)).rejects.toMatchObject(refused);
    }
    await expect(guard.admit(Health.method.check, shown, call)).rejects.toMatchObject(refused);
  });

  it("refuses two credentials of one name", () => {
    const impostor = credential("session", { header: "impostor", claims: {} });
    const policy = definePolicy(Health, { check: requires(impostor), watch: open });
    const other = service(policy, { check: unimplemented, watch: unimplemented });
    expect(smuggle({ services: [mailbox, other], verifiers })).toThrow(
      new TypeError('the services use two credentials of the name "session"'),
    );
  });
});

describe("service", () => {
  const handlers = {
    getBulletin: unimplemented,
    openSession: unimplemented,
    countLetters: unimplemented,
    sendLetter: unimplemented,
    watchLetters: unimplemented,
    importLetters: unimplemented,
    converse: unimplemented,
  };
  const smuggle = (given: unknown, options?: unknown) => () =>
    service(sessionPolicy, given as never, options as never);

  it.each([1, 2 ** 32 - 1])("takes a size of %s bytes", (size) => {
    const made = service(sessionPolicy, handlers, { readMaxBytes: { converse: size } });
    expect([...made.readMaxBytes]).toEqual([[Mailbox.method.converse, size]]);
    expect(Object.isFrozen(made)).toBe(true);
  });

  it.each([0, 2 ** 32, -1, Number.NaN, "5"])("refuses a size of %s", (converse) => {
    expect(smuggle(handlers, { readMaxBytes: { converse } })).toThrow(
      new TypeError(
        'service countersign.example.v1.Mailbox: "readMaxBytes" of converse must be a whole number of bytes from 1 to 4294967295',
      ),
    );
  });

  it("leaves alone what else an object has", () => {
    const more = { ...handlers, mailboxes: 3, name: "mine", nothing: undefined };
    expect(smuggle(more)).not.toThrow();
    expect(smuggle({ ...handlers, shred: () => undefined })).toThrow(
      new TypeError("service countersign.example.v1.Mailbox has no RPC shred"),
    );
  });

  it("takes no handler from what every object inherits", () => {
    const inheriting = oneFieldService({
      name: "a",
      type: FieldDescriptorProto_Type.STRING,
      rpc: "HasOwnProperty",
    });
    const policy = definePolicy(inheriting as typeof Mailbox, { hasOwnProperty: open } as never);
    expect(() => service(policy, {} as never)).toThrow(
      new TypeError("service one.One: hasOwnProperty needs a handler, or unimplemented"),
    );
    const own = { hasOwnProperty: unimplemented };
    expect(() => service(policy, own as never)).not.toThrow();
  });

  it.each<[string, unknown]>([
    ["null", null],
    ["a text", "later"],
    ["a look-alike of unimplemented", { unimplemented: true }],
  ])("refuses %s for a handler", (_what, converse) => {
    expect(smuggle({ ...handlers, converse })).toThrow(
      new TypeError(
        "service countersign.example.v1.Mailbox: converse needs a handler, or unimplemented",
      ),
    );
  });

  it.each<[string, unknown, unknown, string]>([
    [
      "a missing handler",
      { ...handlers, converse: undefined },
      undefined,
      "service countersign.example.v1.Mailbox: converse needs a handler, or unimplemented",
    ],
    [
      "a handler of an unknown RPC",
      { ...handlers, shred: unimplemented },
      undefined,
      "service countersign.example.v1.Mailbox has no RPC shred",
    ],
    [
      "a size of an unknown RPC",
      handlers,
      { readMaxBytes: { shred: 1 } },
      'service countersign.example.v1.Mailbox: "readMaxBytes" names shred, which is no RPC of it',
    ],
    [
      "a size that is none",
      handlers,
      { readMaxBytes: { converse: 0.5 } },
      'service countersign.example.v1.Mailbox: "readMaxBytes" of converse must be a whole number of bytes from 1 to 4294967295',
    ],
  ])("refuses %s", (_what, given, options, text) => {
    expect(smuggle(given, options)).toThrow(new TypeError(text));
  });

  it("takes the methods of an object, which keep their `this`", async () => {
    class Counting {
      calls = 0;
      readonly getBulletin = unimplemented;
      readonly openSession = unimplemented;
      readonly sendLetter = unimplemented;
      readonly watchLetters = unimplemented;
      readonly importLetters = unimplemented;
      readonly converse = unimplemented;
      countLetters() {
        this.calls++;
        return { count: this.calls };
      }
    }
    const counting = service(sessionPolicy, new Counting());
    const guard = createGuard({ services: [counting], verifiers: { session: verifySession } });
    const client = createAuthenticatedClient(
      sessionPolicy,
      inProcess(createRouterTransport(guard.routes)),
      { session: parseToken("right") },
    );
    await client.countLetters({});
    expect((await client.countLetters({})).count).toBe(2);
  });
});
