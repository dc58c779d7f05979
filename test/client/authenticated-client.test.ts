import { getEventListeners } from "node:events";
import { inspect } from "node:util";
import {
  Code,
  ConnectError,
  createContextKey,
  createContextValues,
  createRouterTransport,
  type Interceptor,
} from "@connectrpc/connect";
import * as node from "@connectrpc/connect-node";
import * as web from "@connectrpc/connect-web";
import {
  createAuthenticatedClient,
  createOpenClient,
  createPartialClient,
  inProcess,
  type LocatedTransport,
  parseToken,
  transportTo,
} from "countersign";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { MailboxClient } from "../../gen/countersign/example/v1/mailbox_countersign.ts";
import { serverAppIoPolicy } from "../../src/appio/policy.ts";
import {
  collect,
  each,
  eitherPolicy,
  listen,
  type RawServer,
  rawValues,
  recordingMailbox,
  type SeenCall,
  sessionPolicy,
} from "./mailbox.ts";

const secret = "s3cret-t0ken";
const token = parseToken(secret);

const mailbox = recordingMailbox();
const lastCall = (): SeenCall | undefined => mailbox.seen.at(-1);
let http1: RawServer;
let http2: RawServer;
beforeAll(async () => {
  http1 = await listen("1.1", node.connectNodeAdapter({ routes: mailbox.routes }));
  http2 = await listen("2", node.connectNodeAdapter({ routes: mailbox.routes }));
});
afterAll(() => Promise.all([http1?.close(), http2?.close()]));

interface Way {
  readonly server?: () => RawServer;
  readonly transport: () => LocatedTransport;
  /** The fetch API cannot stream requests. */
  readonly streamsRequests: boolean;
}

const ways: Record<string, Way> = {
  "gRPC in Node": {
    server: () => http2,
    transport: () => transportTo(node.createGrpcTransport, { baseUrl: http2.url }),
    streamsRequests: true,
  },
  "gRPC-web in Node": {
    server: () => http2,
    transport: () =>
      transportTo(node.createGrpcWebTransport, { baseUrl: http2.url, httpVersion: "2" }),
    streamsRequests: true,
  },
  "Connect in Node": {
    server: () => http2,
    transport: () =>
      transportTo(node.createConnectTransport, { baseUrl: http2.url, httpVersion: "2" }),
    streamsRequests: true,
  },
  "gRPC-web with fetch": {
    server: () => http1,
    transport: () => transportTo(web.createGrpcWebTransport, { baseUrl: http1.url }),
    streamsRequests: false,
  },
  "Connect with fetch": {
    server: () => http1,
    transport: () =>
      transportTo(web.createConnectTransport, { baseUrl: http1.url, useHttpGet: true }),
    streamsRequests: false,
  },
  "in process": {
    transport: () => inProcess(createRouterTransport(mailbox.routes)),
    streamsRequests: true,
  },
};

describe.each(Object.entries(ways))("%s", (_, { server, transport, streamsRequests }) => {
  const options = {
    headers: [
      ["Mailbox-Session", "old"],
      ["mailbox-session", "older"],
      ["x-note", "kept"],
    ] satisfies [string, string][],
  };
  const client = () => createAuthenticatedClient(sessionPolicy, transport(), { session: token });
  const expectOneToken = (rpc: string) => {
    expect(lastCall()?.rpc).toBe(rpc);
    expect(lastCall()?.header.get("mailbox-session")).toBe(secret);
    expect(lastCall()?.header.get("x-note")).toBe("kept");
    const raw = server?.().requests.at(-1);
    expect(raw === undefined ? [secret] : rawValues(raw, "mailbox-session")).toEqual([secret]);
  };

  test("a unary call carries the token once", async () => {
    expect((await client().countLetters({}, options)).count).toBe(3);
    expectOneToken("countLetters");
  });

  test("a server-streaming call carries the token once", async () => {
    const letters = await collect(client().watchLetters({}, options));
    expect(letters.map(({ letter }) => letter?.text)).toEqual(["first", "second"]);
    expectOneToken("watchLetters");
  });

  if (streamsRequests) {
    test("a client-streaming call carries the token once", async () => {
      const response = await client().importLetters(each({ mailboxId: 1n }, {}), options);
      expect(response.count).toBe(2);
      expectOneToken("importLetters");
    });

    test("a bidi-streaming call carries the token once", async () => {
      const answers = await collect(
        client().converse(each({ mailboxId: 1n }, { mailboxId: 2n }), options),
      );
      expect(answers.map(({ mailboxId }) => mailboxId)).toEqual([1n, 2n]);
      expectOneToken("converse");
    });
  } else {
    test("calls that stream requests fail as connect's own do, and send nothing", async () => {
      const before = server?.().requests.length;
      const message = "The fetch API does not support streaming request bodies";
      await expect(client().importLetters(each({}), options)).rejects.toThrow(message);
      await expect(collect(client().converse(each({}), options))).rejects.toThrow(message);
      expect(server?.().requests.length).toBe(before);
    });
  }

  test("a call of an open RPC carries none", async () => {
    expect((await client().getBulletin({}, options)).text).toBe("welcome");
    expect(lastCall()?.rpc).toBe("getBulletin");
    expect(lastCall()?.header.get("mailbox-session")).toBeNull();
    expect(lastCall()?.header.get("x-note")).toBe("kept");
    expect(rawValues(server?.().requests.at(-1) ?? [], "mailbox-session")).toEqual([]);
  });

  test("a generated client does the same", async () => {
    const generated = new MailboxClient(sessionPolicy, transport(), { session: token });
    expect((await generated.countLetters({}, options)).count).toBe(3);
    expectOneToken("countLetters");
  });
});

describe("call options", () => {
  const note = createContextKey("none");
  const seenByInterceptor: string[] = [];
  const spy: Interceptor = (next) => (request) => {
    seenByInterceptor.push(request.contextValues.get(note));
    return next(request);
  };
  const client = () =>
    createAuthenticatedClient(
      sessionPolicy,
      transportTo(node.createGrpcTransport, { baseUrl: http2.url, interceptors: [spy] }),
      { session: token },
    );

  test("onHeader, onTrailer and contextValues work as with connect's client", async () => {
    const greetings: (string | null)[] = [];
    await client().countLetters(
      {},
      {
        contextValues: createContextValues().set(note, "passed"),
        onHeader: (header) => greetings.push(header.get("mailbox-greeting")),
        onTrailer: (trailer) => greetings.push(trailer.get("mailbox-farewell")),
      },
    );
    expect(greetings).toEqual(["hello", "bye"]);
    expect(seenByInterceptor).toEqual(["passed"]);
  });

  test("timeoutMs is the call's deadline", async () => {
    await client().countLetters({}, { timeoutMs: 30_000 });
    expect(lastCall()?.header.get("grpc-timeout")).toBe("30000m");
  });

  test("signal cancels the call", async () => {
    await expect(client().countLetters({}, { signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: Code.Canceled,
    });
  });
});

describe("a signed credential", () => {
  const signed = { "mailbox-key-bin": new Uint8Array([0, 255, 1]), "mailbox-time": "12:00+00:00" };
  const transport = inProcess(createRouterTransport(mailbox.routes));

  test("is made once per call, for its method, with the client's clock", async () => {
    const calls: string[] = [];
    const client = createAuthenticatedClient(
      eitherPolicy,
      transport,
      {
        signature: ({ method, now }) => {
          calls.push(`${method.localName} at ${now()}`);
          return signed;
        },
      },
      { now: () => 1234 },
    );
    await client.countLetters({});
    await client.getBulletin({});
    await collect(client.converse(each({}, {})));
    expect(calls).toEqual(["countLetters at 1234", "converse at 1234"]);
  });

  test("is made with the machine's clock by default", async () => {
    const clocks: unknown[] = [];
    const signature = ({ now }: { readonly now: () => number }) => {
      clocks.push(now);
      return signed;
    };
    await createAuthenticatedClient(eitherPolicy, transport, { signature }).countLetters({});
    await createAuthenticatedClient(eitherPolicy, transport, { signature }, {}).countLetters({});
    expect(clocks).toEqual([Date.now, Date.now]);
  });

  test("travels in its own headers, bytes as base64, in place of the caller's", async () => {
    const client = createAuthenticatedClient(eitherPolicy, transport, {
      signature: async () => ({ ...signed, "x-more": "dropped" }),
    });
    await client.sendLetter(
      {},
      { headers: { "Mailbox-Key-Bin": "AAAA", "MAILBOX-TIME": "later", "mailbox-session": "old" } },
    );
    const names = [...(lastCall()?.header.keys() ?? [])];
    expect(names.filter((name) => name.startsWith("mailbox-"))).toEqual([
      "mailbox-key-bin",
      "mailbox-time",
    ]);
    expect(names).not.toContain("x-more");
    expect(lastCall()?.header.get("mailbox-key-bin")).toBe("AP8B");
    expect(lastCall()?.header.get("mailbox-time")).toBe("12:00+00:00");
  });

  test("is left out where the client has the rule's first credential", async () => {
    const client = createAuthenticatedClient(eitherPolicy, transport, {
      session: token,
      signature: () => {
        throw new Error("not called");
      },
    });
    await client.countLetters({}, { headers: { "mailbox-time": "noon" } });
    expect(lastCall()?.header.get("mailbox-session")).toBe(secret);
    expect(lastCall()?.header.get("mailbox-time")).toBeNull();
  });

  test("that cannot be made fails the call unsent, with the signer's code and cause", async () => {
    const cause = new ConnectError("agent is down", Code.Unavailable);
    const client = createAuthenticatedClient(eitherPolicy, transport, {
      signature: () => Promise.reject(cause),
    });
    const before = mailbox.seen.length;
    const message = 'the signer of credential "signature" failed';
    const error = { code: Code.Unavailable, rawMessage: message, cause };
    await expect(client.countLetters({})).rejects.toMatchObject(error);
    await expect(client.importLetters(each({}))).rejects.toMatchObject(error);
    await expect(collect(client.watchLetters({}))).rejects.toMatchObject(error);
    await expect(collect(client.converse(each({})))).rejects.toMatchObject(error);
    const throwing = createAuthenticatedClient(eitherPolicy, transport, {
      signature: () => {
        throw undefined;
      },
    });
    await expect(throwing.countLetters({})).rejects.toMatchObject({
      code: Code.Unknown,
      rawMessage: message,
    });
    expect(mailbox.seen).toHaveLength(before);
  });

  const bytes =
    'the signer of credential "signature" must give a non-empty Uint8Array for "mailbox-key-bin"';
  const text =
    'the signer of credential "signature" must give a string of visible ASCII characters without commas for "mailbox-time"';
  // What a JavaScript program may return, past the compiler.
  const malformed: [string, unknown, string][] = [
    ["nothing", undefined, bytes],
    ["null", null, bytes],
    ["no bytes", { ...signed, "mailbox-key-bin": undefined }, bytes],
    ["empty bytes", { ...signed, "mailbox-key-bin": new Uint8Array() }, bytes],
    ["text for bytes", { ...signed, "mailbox-key-bin": "AP8B" }, bytes],
    ["no text", { "mailbox-key-bin": signed["mailbox-key-bin"] }, text],
    ["an empty text", { ...signed, "mailbox-time": "" }, text],
    ["a blank text", { ...signed, "mailbox-time": " " }, text],
    ["a text with a comma", { ...signed, "mailbox-time": "12:00,13:00" }, text],
    ["a text with a line break", { ...signed, "mailbox-time": `${secret}\r\nx-evil: 1` }, text],
    ["a text beyond ASCII", { ...signed, "mailbox-time": `${secret}é` }, text],
  ];
  test.each(malformed)(
    "made of %s fails the call without showing it",
    async (_, value, message) => {
      const client = createAuthenticatedClient(eitherPolicy, transport, {
        signature: () => value as typeof signed,
      });
      const error = await client.countLetters({}).catch((reason: unknown) => reason);
      expect(error).toMatchObject({ code: Code.Internal, rawMessage: message });
      expect(inspect(error, { depth: null, showHidden: true })).not.toContain(secret);
    },
  );

  test("is waited for no longer than the call's deadline", async () => {
    const client = createAuthenticatedClient(eitherPolicy, transport, {
      signature: () => new Promise<never>(() => {}),
    });
    await expect(client.countLetters({}, { timeoutMs: 20 })).rejects.toMatchObject({
      code: Code.DeadlineExceeded,
      rawMessage: "the operation timed out",
    });
    const controller = new AbortController();
    const call = client.countLetters({}, { signal: controller.signal });
    controller.abort(new Error("not needed any more"));
    await expect(call).rejects.toMatchObject({
      code: Code.Canceled,
      rawMessage: "not needed any more",
    });
    expect(getEventListeners(controller.signal, "abort")).toEqual([]);
    await expect(client.countLetters({}, { signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: Code.Canceled,
    });
  });

  test("takes its time from the call's deadline", async () => {
    const client = createAuthenticatedClient(eitherPolicy, transport, {
      signature: async () => {
        const startedAt = performance.now();
        // A part of it before there is a promise.
        while (performance.now() - startedAt < 50) {}
        while (performance.now() - startedAt < 100) {
          await new Promise((resolve) => setImmediate(resolve));
        }
        return signed;
      },
    });
    const calledAt = performance.now();
    await client.countLetters({}, { timeoutMs: 3_600_000 });
    const tookMs = performance.now() - calledAt;
    const left = lastCall()?.header.get("connect-timeout-ms");
    expect(left).toMatch(/^\d+$/);
    const leftMs = Number(left);
    expect(leftMs).toBeGreaterThanOrEqual(3_600_000 - tookMs - 1);
    expect(leftMs).toBeLessThanOrEqual(3_599_900);
  });

  test("that took all of the call's time leaves it a millisecond: 0 would be no deadline", async () => {
    const timeouts: unknown[] = [];
    const spying = inProcess({
      unary: (_method, _signal, timeoutMs) => {
        timeouts.push(timeoutMs);
        return Promise.reject(new ConnectError("not sent", Code.Aborted));
      },
      stream: transport.stream,
    });
    const client = createAuthenticatedClient(eitherPolicy, spying, {
      signature: async () => {
        await Promise.resolve();
        // Turns that never end: no timer fires meanwhile.
        for (const startedAt = performance.now(); performance.now() - startedAt < 25; ) {}
        return signed;
      },
    });
    const call = client.countLetters({}, { timeoutMs: 20 });
    await expect(call).rejects.toMatchObject({ code: Code.Aborted });
    expect(timeouts).toEqual([1]);
  });

  test("leaves no timer behind", async () => {
    const timers = () =>
      process.getActiveResourcesInfo().filter((resource) => resource === "Timeout").length;
    const spying = inProcess({
      unary: () => Promise.reject(new ConnectError("not sent", Code.Aborted)),
      stream: transport.stream,
    });
    const client = createAuthenticatedClient(eitherPolicy, spying, {
      signature: async () => signed,
    });
    const before = timers();
    for (let i = 0; i < 20; i++) {
      await client.countLetters({}, { timeoutMs: 60_000 }).catch(() => undefined);
    }
    expect(timers() - before).toBeLessThan(10);
  });

  test.each([undefined, 0, -1])("has no deadline where the call has %s", async (timeoutMs) => {
    const client = createAuthenticatedClient(eitherPolicy, transport, {
      signature: async () => {
        await new Promise((resolve) => setTimeout(resolve, 20));
        return signed;
      },
    });
    const { signal } = new AbortController();
    const options = timeoutMs === undefined ? { signal } : { signal, timeoutMs };
    expect((await client.countLetters({}, options)).count).toBe(3);
    expect(lastCall()?.header.get("connect-timeout-ms")).toBeNull();
    expect(getEventListeners(signal, "abort")).toEqual([]);
  });
});

describe("construction", () => {
  const transport = inProcess(createRouterTransport(() => {}));
  // What a JavaScript program may pass, past the compiler.
  const session = (credentials: unknown) => () =>
    createAuthenticatedClient(sessionPolicy, transport, credentials as { session: typeof token });
  const notAToken =
    '"credentials.session" must be a Token: pass the string through parseToken(...)';
  const refused: [string, unknown, string][] = [
    [
      "no credentials",
      undefined,
      '"credentials" must be an object, keyed by the names of credentials',
    ],
    ["null", null, '"credentials" must be an object, keyed by the names of credentials'],
    ["a bare token", token, '"credentials" must be an object, keyed by the names of credentials'],
    ["a missing credential", {}, '"credentials.session" is missing: countLetters requires it'],
    [
      "an undefined one",
      { session: undefined },
      '"credentials.session" is missing: countLetters requires it',
    ],
    [
      "an inherited one",
      Object.create({ session: token }),
      '"credentials.session" is missing: countLetters requires it',
    ],
    ["an empty token", { session: "" }, notAToken],
    ["a token with a comma", { session: `${secret},b` }, notAToken],
    ["a token with a line break", { session: `${secret}\n` }, notAToken],
    ["a token that is no string", { session: { secret } }, notAToken],
    ["a list with a token", { session: [secret] }, notAToken],
    ["a signer for a secret", { session: () => secret }, notAToken],
    [
      "an unknown credential",
      { session: token, other: secret },
      '"credentials.other" is no credential of the policy of countersign.example.v1.Mailbox',
    ],
  ];
  test.each(refused)("refuses %s", (_, credentials, message) => {
    expect(session(credentials)).toThrow(new TypeError(message));
    expect(session(credentials)).not.toThrow(secret);
  });

  test("needs one credential of every anyOf", () => {
    const none = {} as { session: typeof token };
    expect(() => createAuthenticatedClient(eitherPolicy, transport, none)).toThrow(
      new TypeError(
        '"credentials.session" or "credentials.signature" is missing: countLetters requires it',
      ),
    );
    const text: unknown = { signature: secret };
    expect(() =>
      createAuthenticatedClient(eitherPolicy, transport, text as { session: typeof token }),
    ).toThrow(new TypeError('"credentials.signature" must be a function that signs a call'));
  });

  test("of a generated class refuses the policy of another service", () => {
    const other: unknown = serverAppIoPolicy;
    expect(
      () => new MailboxClient(other as typeof sessionPolicy, transport, { session: token }),
    ).toThrow(
      new TypeError(
        '"policy" is a policy of flwr.proto.ServerAppIo, and not of this client\'s own descriptor of countersign.example.v1.Mailbox',
      ),
    );
  });

  test("refuses a clock that is no function", () => {
    const options: object = { now: 5 };
    expect(() =>
      createAuthenticatedClient(sessionPolicy, transport, { session: token }, options),
    ).toThrow('"now" must be a function that returns milliseconds');
  });

  test.each<[string, object | null | undefined]>([
    ["nothing", undefined],
    ["null", null],
    ["a service", sessionPolicy.service],
    ["an object without a service", { ruleOf: () => undefined }],
    ["an object of another service", { ruleOf: () => undefined, service: { kind: "message" } }],
    ["a service without rules", { service: sessionPolicy.service }],
  ])("refuses %s for a policy", (_, policy) => {
    const given = policy as typeof sessionPolicy;
    const error = new TypeError('"policy" must be made by definePolicy(...)');
    const credentials = { session: token };
    expect(() => createAuthenticatedClient(given, transport, credentials)).toThrow(error);
    expect(() => new MailboxClient(given, transport, credentials)).toThrow(error);
    expect(() => createPartialClient(given, transport, credentials)).toThrow(error);
    expect(() => createOpenClient(given, transport)).toThrow(error);
  });

  test("reads the credentials once", async () => {
    const credentials = { session: token };
    const client = createAuthenticatedClient(
      sessionPolicy,
      inProcess(createRouterTransport(mailbox.routes)),
      credentials,
    );
    credentials.session = parseToken("other");
    await client.countLetters({});
    expect(lastCall()?.header.get("mailbox-session")).toBe(secret);
  });
});

describe("a secret is never shown", () => {
  const shown = (value: unknown) =>
    [
      inspect(value, { depth: null, showHidden: true, getters: true }),
      JSON.stringify(value),
      String(value),
      value instanceof Error ? value.stack : "",
    ].join("\n");

  test("by a client that is inspected or serialised", () => {
    const transport = inProcess(createRouterTransport(mailbox.routes));
    const clients = [
      createAuthenticatedClient(sessionPolicy, transport, { session: token }),
      new MailboxClient(sessionPolicy, transport, { session: token }),
    ];
    for (const client of clients) {
      expect(shown(client)).not.toContain(secret);
      expect(shown(Object.entries(client))).not.toContain(secret);
    }
  });

  test("by the errors of its calls", async () => {
    const refusing = await listen("2", node.connectNodeAdapter({ routes: () => {} }));
    const transports = [
      transportTo(node.createGrpcTransport, { baseUrl: refusing.url }),
      transportTo(node.createConnectTransport, {
        baseUrl: "http://127.0.0.1:1",
        httpVersion: "1.1",
      }),
      transportTo(web.createGrpcWebTransport, { baseUrl: "http://127.0.0.1:1" }),
    ];
    for (const transport of transports) {
      const client = new MailboxClient(sessionPolicy, transport, { session: token });
      const error = await client.countLetters({}).catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(ConnectError);
      expect(shown(error)).not.toContain(secret);
      const badHeader = { headers: { "x-note": "bad\nvalue" } };
      const refused = await client.countLetters({}, badHeader).catch((reason: unknown) => reason);
      expect(refused).toBeInstanceOf(Error);
      expect(shown(refused)).not.toContain(secret);
    }
    await refusing.close();
  });
});
