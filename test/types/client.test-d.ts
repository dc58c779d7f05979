/**
 * Promise 5: a client of protected RPCs cannot be built without every
 * credential that its policy requires; "" does not compile, and neither does a
 * plain string; a client without credentials has the open RPCs only.
 */
import type { Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import {
  type AnyPolicy,
  anyOf,
  createAuthenticatedClient,
  createOpenClient,
  createPartialClient,
  createServiceClient,
  credential,
  definePolicy,
  inProcess,
  open,
  type Policy,
  parseToken,
  requires,
  transportTo,
} from "countersign";
import { MailboxClient } from "../../gen/countersign/example/v1/mailbox_countersign.ts";
import { type GetBulletinResponse, Mailbox } from "../../gen/countersign/example/v1/mailbox_pb.ts";
import { ServerAppIo } from "../../gen/flwr/proto/serverappio_pb.ts";
import { SimulationIoClient } from "../../gen/flwr/proto/simulationio_countersign.ts";

const session = credential("session", {
  header: "mailbox-session",
  secretField: "session",
  claims: { mailboxId: "bigint" },
});
const signature = credential("signature", {
  headers: ["mailbox-key-bin", "mailbox-time"],
  claims: { mailboxId: "bigint" },
});

const secretPolicy = definePolicy(Mailbox, {
  getBulletin: open,
  openSession: open,
  countLetters: requires(session),
  sendLetter: requires(session),
  watchLetters: requires(session),
  importLetters: requires(session),
  converse: requires(session),
});
const eitherPolicy = definePolicy(Mailbox, {
  getBulletin: open,
  openSession: open,
  countLetters: anyOf([session, signature]),
  sendLetter: anyOf([session, signature]),
  watchLetters: anyOf([session, signature]),
  importLetters: anyOf([session, signature]),
  converse: anyOf([session, signature]),
});
const bothPolicy = definePolicy(Mailbox, {
  getBulletin: open,
  openSession: open,
  countLetters: anyOf([session, signature]),
  sendLetter: requires(session),
  watchLetters: requires(signature),
  importLetters: requires(session),
  converse: requires(session),
});
const openPolicy = definePolicy(Mailbox, {
  getBulletin: open,
  openSession: open,
  countLetters: open,
  sendLetter: open,
  watchLetters: open,
  importLetters: open,
  converse: open,
});
const serverAppIoPolicy = definePolicy(ServerAppIo, {
  listAppsToLaunch: open,
  requestToken: open,
  getRun: open,
  sendAppHeartbeat: requires(session),
  pullAppInputs: requires(session),
  pushAppOutputs: requires(session),
  pushObject: requires(session),
  pullObject: requires(session),
  confirmMessageReceived: requires(session),
  updateRunStatus: requires(session),
  pushLogs: requires(session),
  getFederationOptions: requires(session),
  pushMessages: requires(session),
  pullMessages: requires(session),
  getNodes: requires(session),
});

const token = parseToken("mailbox-1");
declare const text: string;
declare const plain: Transport;
const located = transportTo(createGrpcTransport, { baseUrl: "http://localhost:9091" });
const sign = () => ({ "mailbox-key-bin": new Uint8Array([1]), "mailbox-time": "now" });

// A client of protected RPCs takes exactly the credentials of its policy.
createAuthenticatedClient(secretPolicy, located, { session: token });
createAuthenticatedClient(secretPolicy, inProcess(plain), { session: token });
// @ts-expect-error Expected 3-4 arguments, but got 2
createAuthenticatedClient(secretPolicy, located);
// @ts-expect-error Property 'session' is missing in type '{}' but required
createAuthenticatedClient(secretPolicy, located, {});
// @ts-expect-error 'more' does not exist in type '{ readonly session: Token; }'
createAuthenticatedClient(secretPolicy, located, { session: token, more: token });
// @ts-expect-error a token is made by parseToken(...)
createAuthenticatedClient(secretPolicy, located, { session: "" });
// @ts-expect-error a token is made by parseToken(...)
createAuthenticatedClient(secretPolicy, located, { session: "mailbox-1" });
// @ts-expect-error a token is made by parseToken(...)
createAuthenticatedClient(secretPolicy, located, { session: text });
// @ts-expect-error Type 'undefined' is not assignable to type 'Token'
createAuthenticatedClient(secretPolicy, located, { session: undefined });
// @ts-expect-error a token is made by parseToken(...)
createAuthenticatedClient(secretPolicy, located, { session: sign });

// With anyOf, one of the credentials is enough; none is not.
createAuthenticatedClient(eitherPolicy, located, { session: token });
createAuthenticatedClient(eitherPolicy, located, { signature: sign });
createAuthenticatedClient(eitherPolicy, located, { signature: async () => sign() });
createAuthenticatedClient(eitherPolicy, located, { session: token, signature: sign });
// @ts-expect-error Property 'session' is missing in type '{}' but required
createAuthenticatedClient(eitherPolicy, located, {});
// @ts-expect-error Type 'string' is not assignable to type 'Signer<...>'
createAuthenticatedClient(eitherPolicy, located, { signature: token });
// @ts-expect-error Property '"mailbox-key-bin"' is missing
createAuthenticatedClient(eitherPolicy, located, { signature: () => ({ "mailbox-time": "now" }) });

// One RPC that requires a credential alone makes it necessary.
createAuthenticatedClient(bothPolicy, located, { session: token, signature: sign });
// @ts-expect-error Property 'signature' is missing
createAuthenticatedClient(bothPolicy, located, { session: token });
// @ts-expect-error Property 'session' is missing
createAuthenticatedClient(bothPolicy, located, { signature: sign });

// A policy without protected RPCs needs none, and takes none.
createAuthenticatedClient(openPolicy, located, {});
// @ts-expect-error Type 'Token' is not assignable to type 'never'
createAuthenticatedClient(openPolicy, located, { session: token });

// A policy whose rules the compiler does not know makes no client.
// @ts-expect-error the rules of this policy are not known: leave its type to inference
createAuthenticatedClient(secretPolicy as Policy<typeof Mailbox>, located, { session: token });
// @ts-expect-error the rules of this policy are not known: leave its type to inference
createAuthenticatedClient(secretPolicy as AnyPolicy, located, {});

// A plain transport may send anywhere.
// @ts-expect-error made by transportTo(factory, { baseUrl }) or inProcess(transport)
createAuthenticatedClient(secretPolicy, plain, { session: token });
// @ts-expect-error made by transportTo(factory, { baseUrl }) or inProcess(transport)
new MailboxClient(secretPolicy, plain, { session: token });

// A client without credentials has the open RPCs only, and takes any transport.
const openClient = createOpenClient(secretPolicy, plain);
openClient.getBulletin({}) satisfies Promise<GetBulletinResponse>;
// @ts-expect-error Property 'sendLetter' does not exist on type 'OpenClient<...>'
openClient.sendLetter({});
// @ts-expect-error Property 'converse' does not exist on type 'OpenClient<...>'
openClient.converse;
// @ts-expect-error Property 'getBulletin' does not exist on type 'OpenClient<Policy<...>>'
createOpenClient(secretPolicy as AnyPolicy, plain).getBulletin({});

// A client with some of the credentials has the RPCs that they satisfy and the open ones.
const partialClient = createPartialClient(bothPolicy, located, { signature: sign });
partialClient.getBulletin({}) satisfies Promise<GetBulletinResponse>;
partialClient.watchLetters({});
partialClient.countLetters({});
// @ts-expect-error Property 'sendLetter' does not exist on type 'PartialClient<...>'
partialClient.sendLetter({});
createPartialClient(bothPolicy, located, { session: token }).sendLetter({});
// @ts-expect-error Property 'watchLetters' does not exist on type 'PartialClient<...>'
createPartialClient(bothPolicy, located, { session: token }).watchLetters({});
// @ts-expect-error Property 'countLetters' does not exist on type 'PartialClient<...>'
createPartialClient(bothPolicy, located, {}).countLetters({});
// @ts-expect-error a token is made by parseToken(...)
createPartialClient(bothPolicy, located, { session: "mailbox-1" });
// @ts-expect-error Type 'Token' is not assignable to type 'never'
createPartialClient(bothPolicy, located, { session: token, more: token });
// @ts-expect-error made by transportTo(factory, { baseUrl }) or inProcess(transport)
createPartialClient(bothPolicy, plain, { session: token });
// @ts-expect-error the rules of this policy are not known: leave its type to inference
createPartialClient(bothPolicy as AnyPolicy, located, {});

// A generated client takes the policy of its own service, and that policy's credentials.
const client: MailboxClient = new MailboxClient(secretPolicy, located, { session: token });
client.getBulletin({}) satisfies Promise<GetBulletinResponse>;
new MailboxClient(eitherPolicy, located, { signature: sign }, { now: () => 0 });
// @ts-expect-error a token is made by parseToken(...)
new MailboxClient(secretPolicy, located, { session: "" });
// @ts-expect-error Property 'session' is missing in type '{}' but required
new MailboxClient(secretPolicy, located, {});
// @ts-expect-error this client needs a policy of its own service
new MailboxClient(serverAppIoPolicy, located, { session: token });
// @ts-expect-error this client needs a policy of its own service: ServerAppIo has all of its RPCs and more
new SimulationIoClient(serverAppIoPolicy, located, { session: token });
// @ts-expect-error this client needs a policy of its own service
createServiceClient(Mailbox, serverAppIoPolicy, located, { session: token });
// @ts-expect-error the rules of this policy are not known: leave its type to inference
new MailboxClient(secretPolicy as Policy<typeof Mailbox>, located, { session: token });

// transportTo takes the factory's own options.
transportTo(createGrpcWebTransport, { baseUrl: "/", useBinaryFormat: true });
transportTo(createConnectTransport, { baseUrl: "http://example.com", httpVersion: "2" });
transportTo(createGrpcTransport, { baseUrl: "http://example.com", allowPlaintext: true });
// @ts-expect-error Property 'httpVersion' is missing
transportTo(createConnectTransport, { baseUrl: "http://example.com" });
// @ts-expect-error Property 'baseUrl' is missing
transportTo(createGrpcTransport, { allowPlaintext: true });
// @ts-expect-error 'allowPlaintxt' does not exist
transportTo(createGrpcTransport, { baseUrl: "http://example.com", allowPlaintxt: true });
