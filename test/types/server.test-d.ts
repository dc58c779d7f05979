/**
 * Promises 2, 3 and 4: a server without a required verifier does not compile;
 * handlers of protected RPCs have a typed caller and no claimed fields, handlers
 * of open ones have no caller.
 */
import {
  anyOf,
  createGuard,
  credential,
  definePolicy,
  digestToken,
  type HandlerOf,
  open,
  type RequestOf,
  refusal,
  requires,
  type Service,
  service,
  type TokenDigest,
  unimplemented,
} from "countersign";
import { serve } from "countersign/serve";
import { Mailbox } from "../../gen/countersign/example/v1/mailbox_pb.ts";
import { ServerAppIo } from "../../gen/flwr/proto/serverappio_pb.ts";

const session = credential("session", {
  header: "mailbox-session",
  secretField: "session",
  claims: { mailboxId: "bigint", digest: { kind: "string", binds: [] } },
}).proves<{ digest: TokenDigest }>();
const admin = credential("admin", { header: "mailbox-admin", claims: { role: "string" } });
const signature = credential("signature", {
  headers: ["mailbox-key-bin", "mailbox-time"],
  claims: { mailboxId: "bigint" },
});

const policy = definePolicy(Mailbox, {
  getBulletin: open,
  openSession: open,
  countLetters: requires(session),
  sendLetter: requires(session),
  watchLetters: anyOf([session, admin]),
  importLetters: requires(session, { unbound: "imports into any mailbox" }),
  converse: anyOf([session, signature]),
});
type P = typeof policy;
type Same<A, B> =
  (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : never;

// Promise 4: what a protected handler's request has.
export const kept: RequestOf<P, "sendLetter">["letter"] = undefined;
// @ts-expect-error the claimed mailbox is read from the caller
export type Claimed = RequestOf<P, "sendLetter">["mailboxId"];
// @ts-expect-error the secret is not read at all
export type Secret = RequestOf<P, "sendLetter">["session"];
// @ts-expect-error an optional field that the credential proves is taken away too
export type Optional = RequestOf<P, "converse">["mailboxId"];
export type NotProvedByBoth = RequestOf<P, "watchLetters">["mailboxId"];
export type Unbound = RequestOf<P, "importLetters">["mailboxId"];
export type OpenField = RequestOf<P, "openSession">["mailboxId"];
type Nested = NonNullable<RequestOf<P, "sendLetter">["letter"]>;
export const nestedKept: Same<NonNullable<Nested["from"]>["mailboxId"], bigint> = true;

service(policy, {
  // Promise 3: the handler of an open RPC has no caller.
  getBulletin: (_request, context) => {
    // @ts-expect-error an open RPC has no caller
    context.caller;
    return { text: context.requestMethod };
  },
  openSession: unimplemented,
  countLetters: (request, { caller }) => {
    const mailboxId: bigint = caller.mailboxId;
    const digest: TokenDigest = caller.digest;
    const name: "session" = caller.credential;
    // @ts-expect-error the request does not tell who calls
    request.mailboxId;
    // @ts-expect-error the credential does not prove a role
    caller.role;
    // @ts-expect-error what was proved cannot be rewritten
    caller.mailboxId = 1n;
    return { count: Number(mailboxId) + digest.length + name.length };
  },
  sendLetter: async (request, { caller }) => {
    // @ts-expect-error the token is not for handlers
    request.session;
    return { mailboxId: caller.mailboxId };
  },
  watchLetters: async function* (_request, { caller }) {
    // @ts-expect-error with anyOf, which claims there are depends on the credential
    caller.role;
    if (caller.credential === "admin") {
      yield { letter: { text: caller.role } };
    } else {
      yield { letter: { text: String(caller.mailboxId) } };
    }
  },
  importLetters: async (requests, { caller }) => {
    let count = 0;
    for await (const request of requests) {
      count += request.mailboxId === caller.mailboxId ? 1 : 0;
    }
    return { count };
  },
  converse: async function* (requests) {
    for await (const request of requests) {
      // @ts-expect-error messages of a stream do not tell who calls either
      request.mailboxId;
      yield {};
    }
  },
});

const handlers = {
  getBulletin: unimplemented,
  openSession: unimplemented,
  countLetters: unimplemented,
  sendLetter: unimplemented,
  watchLetters: unimplemented,
  importLetters: unimplemented,
};
// @ts-expect-error an RPC without a handler
service(policy, handlers);
// @ts-expect-error a handler is a function, or `unimplemented`
service(policy, { ...handlers, converse: undefined });
// @ts-expect-error a handler of an RPC that the service does not have
service(policy, { ...handlers, converse: unimplemented, shred: unimplemented });
// @ts-expect-error the answer of another RPC
service(policy, { ...handlers, converse: unimplemented, countLetters: () => ({ text: "" }) });

export const apart: HandlerOf<P, "countLetters"> = (_request, { caller }) => ({
  count: Number(caller.mailboxId),
});

// Promise 2: verifiers.
const mailbox = service(policy, { ...handlers, converse: unimplemented });
declare const digest: TokenDigest;
const verifiers = {
  session: () => ({ mailboxId: 1n, digest }),
  admin: () => undefined,
  signature: async () => refusal("unknown"),
};
createGuard({ services: [mailbox], verifiers });
void serve({ services: [mailbox], verifiers, port: 0 });
// @ts-expect-error the verifiers of admin and signature are missing
createGuard({ services: [mailbox], verifiers: { session: verifiers.session } });
// @ts-expect-error the verifiers of admin and signature are missing
void serve({ services: [mailbox], verifiers: { session: verifiers.session }, port: 0 });
const provesOther = { ...verifiers, session: () => ({ mailboxId: 1, digest }) };
// @ts-expect-error a verifier that proves something else
createGuard({ services: [mailbox], verifiers: provesOther });
const provesLess = { ...verifiers, session: () => ({ mailboxId: 1n }) };
// @ts-expect-error a verifier that proves too little
createGuard({ services: [mailbox], verifiers: provesLess });
createGuard({
  services: [mailbox],
  verifiers: {
    session: (token) => ({ mailboxId: 1n, digest: digestToken(token) }),
    admin: (token) => ({ role: token }),
    // A signed credential is shown as its headers, `-bin` ones as bytes.
    signature: (shown) => ({ mailboxId: BigInt(shown["mailbox-key-bin"].length) }),
  },
});
const list: Service[] = [mailbox];
// @ts-expect-error an array of Service[] hides what it requires
createGuard({ services: list, verifiers: {} });
// @ts-expect-error an array of Service[] hides what it requires
void serve({ services: list, verifiers: {}, port: 0 });

const otherSession = credential("session", { header: "other", claims: { runId: "bigint" } });
const otherPolicy = definePolicy(ServerAppIo, {
  listAppsToLaunch: open,
  requestToken: open,
  getRun: open,
  sendAppHeartbeat: open,
  pullAppInputs: open,
  pushAppOutputs: open,
  pushObject: open,
  pullObject: open,
  confirmMessageReceived: open,
  updateRunStatus: open,
  pushLogs: open,
  getFederationOptions: open,
  pushMessages: open,
  pullMessages: open,
  getNodes: requires(otherSession),
});
declare const other: Service<typeof otherPolicy>;
// @ts-expect-error two credentials of the name "session"
createGuard({ services: [mailbox, other], verifiers });
createGuard({ services: [other], verifiers: { session: () => ({ runId: 1n }) } });
