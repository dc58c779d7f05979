/**
 * A verifier whose store is down: Unavailable, never allowed, never the one
 * refusal; and nothing of it tells RPCs apart.
 */

import { Code, type ConnectError, createRouterTransport } from "@connectrpc/connect";
import {
  createAuthenticatedClient,
  createGuard,
  type DecisionEvent,
  type GuardSettings,
  inProcess,
  parseToken,
  refusal,
  service,
  storeUnavailable,
  unimplemented,
  type VerifyCall,
} from "countersign";
import { describe, expect, it } from "vitest";
import { Mailbox } from "../../gen/countersign/example/v1/mailbox_pb.ts";
import { rawHeadersSource } from "../../src/guard/decide.ts";
import { collect, eitherPolicy, sessionPolicy } from "../client/mailbox.ts";
import { mailboxService } from "./mailbox-service.ts";

const refused = { code: Code.Unauthenticated, rawMessage: "Authentication failed." };
const unavailable = {
  code: Code.Unavailable,
  rawMessage: "The credential cannot be verified at present.",
};

type Answer = unknown;
type Verify = (token: string, call: VerifyCall) => Answer;

function start(verify: Verify, settings: GuardSettings = {}) {
  const { mailbox, handled } = mailboxService();
  const events: DecisionEvent[] = [];
  const guard = createGuard({
    services: [mailbox],
    verifiers: { session: verify as () => { mailboxId: bigint } },
    onDecision: (event) => events.push(event),
    ...settings,
  });
  const client = createAuthenticatedClient(
    sessionPolicy,
    inProcess(createRouterTransport(guard.routes)),
    { session: parseToken("s3cret") },
  );
  const count = (method: string) => guard.counters().find((each) => each.method === method);
  return { client, guard, handled, events, count };
}

async function* stream<T>(...messages: T[]): AsyncIterable<T> {
  yield* messages;
}

type Client = ReturnType<typeof start>["client"];
const protectedCalls: [string, string, (client: Client) => Promise<unknown>][] = [
  ["unary", "SendLetter", (client) => client.sendLetter({})],
  ["idempotent", "CountLetters", (client) => client.countLetters({})],
  ["server-streaming", "WatchLetters", (client) => collect(client.watchLetters({ limit: 1 }))],
  ["client-streaming", "ImportLetters", (client) => client.importLetters(stream({}))],
  ["bidi-streaming", "Converse", (client) => collect(client.converse(stream({})))],
];

describe.each(protectedCalls)("a protected %s RPC", (_kind, method, call) => {
  it.each<[string, () => Answer]>([
    ["at once", () => storeUnavailable(new Error("no route"))],
    ["later", async () => storeUnavailable(new Error("no route"))],
  ])("is Unavailable when its verifier says %s that its store is", async (_when, verify) => {
    const { client, handled, events, count } = start(verify);
    await expect(call(client)).rejects.toMatchObject(unavailable);
    expect(handled).toEqual([]);
    expect(events).toEqual([
      {
        service: Mailbox.typeName,
        method,
        credential: "session",
        reason: "store unavailable",
        cause: expect.stringMatching(/^Error: no route\n/),
        suppressed: 0,
      },
    ]);
    expect(count(method)).toMatchObject({ allowed: 0, refused: 0, unavailable: 1 });
  });

  it.each<[string, Verify]>([
    [
      "throws that the store is down",
      () => {
        throw new Error("the store is unavailable");
      },
    ],
    ["throws the mark instead of answering it", () => Promise.reject(storeUnavailable())],
    ["answers a copy of the mark in a list", () => [storeUnavailable()]],
  ])("is refused when its verifier %s", async (_what, verify) => {
    const { client, count } = start(verify);
    await expect(call(client)).rejects.toMatchObject(refused);
    expect(count(method)).toMatchObject({ refused: 1, unavailable: 0 });
  });

  it("is refused when its verifier says so too late", async () => {
    const late = Promise.withResolvers<unknown>();
    const { client } = start(() => late.promise, { verifyTimeoutMs: 20 });
    await expect(call(client)).rejects.toMatchObject(refused);
    late.resolve(storeUnavailable());
  });
});

it.each<[string, unknown]>([
  ["its error shows the secret", new Error("no row for s3cret")],
  ["it gives no error", "s3cret"],
  ["it gives nothing", undefined],
])("reports no cause when %s", async (_why, cause) => {
  const { client, events } = start(() => storeUnavailable(cause));
  await expect(client.sendLetter({})).rejects.toMatchObject(unavailable);
  expect(events).toMatchObject([{ reason: "store unavailable", cause: undefined }]);
  expect(JSON.stringify(events)).not.toContain("s3cret");
});

it("a call whose body took long is Unavailable when the store has gone meanwhile", async () => {
  let clock = 0;
  const { client, handled } = start(
    (_token, { isRecheck }) => (isRecheck ? storeUnavailable() : { mailboxId: 7n }),
    { now: () => (clock += 1_001) },
  );
  await expect(client.sendLetter({})).rejects.toMatchObject(unavailable);
  expect(handled).toEqual([]);
});

it("a stream ends with Unavailable when the store goes while it lasts", async () => {
  let isDown = false;
  const { client, events, count } = start(() => (isDown ? storeUnavailable() : { mailboxId: 7n }), {
    recheckStreamMs: 10,
  });
  const letters = client.watchLetters({})[Symbol.asyncIterator]();
  expect((await letters.next()).value?.letter?.text).toBe("first");
  isDown = true;
  await expect(letters.next()).rejects.toMatchObject(unavailable);
  expect(events.at(-1)).toMatchObject({ method: "WatchLetters", reason: "store unavailable" });
  expect(count("WatchLetters")).toMatchObject({ allowed: 1, refused: 0, unavailable: 1 });
});

it("refusing leaves the depth of stacks as it was, and where it cannot be set refuses all the same", async () => {
  const { client } = start(() => refusal("unknown"));
  const before = Object.getOwnPropertyDescriptor(Error, "stackTraceLimit");
  await expect(client.sendLetter({})).rejects.toMatchObject(refused);
  expect(Object.getOwnPropertyDescriptor(Error, "stackTraceLimit")).toEqual(before);
  Object.defineProperty(Error, "stackTraceLimit", { ...before, writable: false });
  try {
    await expect(client.sendLetter({})).rejects.toMatchObject(refused);
  } finally {
    Object.defineProperty(Error, "stackTraceLimit", before ?? {});
  }
});

/** A guard whose RPCs take a session or a signature, and what its verifiers were asked. */
function eitherGuard(verifiers: { session: Verify; signature: Verify }) {
  const asked: { credential: string; method: string; isProbe: boolean }[] = [];
  const noting =
    (credential: "session" | "signature") =>
    (presented: unknown, call: VerifyCall): never => {
      asked.push({ credential, method: call.method.name, isProbe: call.isProbe });
      return verifiers[credential](typeof presented === "string" ? presented : "", call) as never;
    };
  const guard = createGuard({
    services: [
      service(eitherPolicy, {
        getBulletin: unimplemented,
        openSession: unimplemented,
        countLetters: unimplemented,
        sendLetter: unimplemented,
        watchLetters: unimplemented,
        importLetters: unimplemented,
        converse: unimplemented,
      }),
    ],
    verifiers: { session: noting("session"), signature: noting("signature") },
  });
  const ask = (entries: readonly (readonly [string, string])[]) =>
    guard.admit(Mailbox.method.sendLetter, rawHeadersSource(entries), new AbortController()).then(
      () => "allowed",
      ({ code }: ConnectError) => code,
    );
  return { guard, asked, ask };
}

describe("a call that is refused whatever it presents", () => {
  const session = ["mailbox-session", "s"] as const;
  const signature = [["mailbox-key-bin", "AAAA"] as const, ["mailbox-time", "1"] as const];

  it("is Unavailable while the store behind anything well-formed in it is down", async () => {
    const { ask, asked } = eitherGuard({
      session: () => refusal("unknown"),
      signature: async () => storeUnavailable(),
    });
    expect(await ask([session])).toBe(Code.Unauthenticated);
    expect(await ask([session, ...signature])).toBe(Code.Unavailable);
    expect(await ask([session, session, ...signature])).toBe(Code.Unavailable);
    expect(await ask([["mailbox-key-bin", "AAAA"]])).toBe(Code.Unauthenticated);
    expect(await ask([])).toBe(Code.Unauthenticated);
    // The RPC that a probe's verifier is told is the same whichever was called.
    expect(asked.filter(({ isProbe }) => isProbe)).toEqual([
      { credential: "session", method: "CountLetters", isProbe: true },
      { credential: "signature", method: "CountLetters", isProbe: true },
      { credential: "signature", method: "CountLetters", isProbe: true },
    ]);
  });

  it("is Unavailable at once where a store says so at once, and is counted apart", async () => {
    let answer: unknown = storeUnavailable();
    const rechecks: boolean[] = [];
    const { guard, asked } = eitherGuard({
      session: (_token, { isRecheck }) => {
        rechecks.push(isRecheck);
        return answer;
      },
      signature: () => answer,
    });
    const headers = rawHeadersSource([session, ...signature]);
    const call = new AbortController();
    expect(await guard.refuseUnknown("/x", headers, call)).toMatchObject(unavailable);
    expect(asked).toHaveLength(1);
    expect(rechecks).toEqual([false]);
    answer = undefined;
    expect(await guard.refuseUnknown("/x", headers, call)).toMatchObject(refused);
    expect(asked).toHaveLength(3);
    expect(guard.counters().at(-1)).toEqual({
      service: "",
      method: "",
      allowed: 0,
      refused: 1,
      unavailable: 1,
    });
  });

  it("is asked about once per credential", async () => {
    const { ask, asked } = eitherGuard({
      session: () => refusal("unknown"),
      signature: () => refusal("unknown"),
    });
    await ask([session]);
    expect(asked).toEqual([{ credential: "session", method: "SendLetter", isProbe: false }]);
  });

  it("is not allowed by what a probe answers", async () => {
    const { guard, ask } = eitherGuard({
      session: () => ({ mailboxId: 7n }),
      signature: () => ({ mailboxId: 7n }),
    });
    expect(await ask([session, ...signature])).toBe(Code.Unauthenticated);
    const headers = rawHeadersSource([session]);
    expect(await guard.refuseUnknown("/x", headers, new AbortController())).toMatchObject(refused);
  });

  it("waits for a probe no longer than for any verification", async () => {
    const { guard } = eitherGuard({
      session: () => new Promise(() => undefined),
      signature: () => undefined,
    });
    const call = new AbortController();
    const answer = guard.refuseUnknown("/x", rawHeadersSource([session]), call);
    call.abort();
    expect(await answer).toMatchObject(refused);
  });
});
