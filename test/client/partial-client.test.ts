import { inspect } from "node:util";
import { type Client, createRouterTransport } from "@connectrpc/connect";
import {
  createPartialClient,
  definePolicy,
  inProcess,
  open,
  parseToken,
  requires,
  type SomeCredentials,
} from "countersign";
import { expect, test } from "vitest";
import { Mailbox } from "../../gen/countersign/example/v1/mailbox_pb.ts";
import { eitherPolicy, recordingMailbox, session, signature } from "./mailbox.ts";

const bothPolicy = definePolicy(Mailbox, {
  ...eitherPolicy.rules,
  openSession: open,
  sendLetter: requires(session),
  watchLetters: requires(signature),
});

const token = parseToken("s3cret-t0ken");
const sign = () => ({ "mailbox-key-bin": new Uint8Array([1]), "mailbox-time": "noon" });

function start(credentials: SomeCredentials<typeof bothPolicy>) {
  const { routes, seen } = recordingMailbox();
  const transport = inProcess(createRouterTransport(routes));
  const client: Partial<Client<typeof Mailbox>> = createPartialClient(
    bothPolicy,
    transport,
    credentials,
  );
  return { client, seen };
}

test("has the RPCs that its credentials satisfy, the open ones, and no other", () => {
  const either = ["converse", "countLetters", "importLetters"];
  const opened = ["getBulletin", "openSession"];
  const rpcsOf = (credentials: SomeCredentials<typeof bothPolicy>) =>
    Object.keys(start(credentials).client).sort();
  expect(rpcsOf({})).toEqual(opened);
  expect(rpcsOf({ signature: sign })).toEqual([...either, ...opened, "watchLetters"].sort());
  expect(rpcsOf({ session: token })).toEqual([...either, ...opened, "sendLetter"].sort());
});

test("presents the credential that it has, and nothing on open RPCs", async () => {
  const { client, seen } = start({ signature: sign });
  const headers = { "mailbox-session": "forged", "mailbox-time": "forged" };
  await client.countLetters?.({}, { headers });
  await client.getBulletin?.({}, { headers });
  const shown = seen.map(({ header }) =>
    [...header].filter(([name]) => name.startsWith("mailbox-")),
  );
  expect(shown).toEqual([
    [
      ["mailbox-key-bin", "AQ"],
      ["mailbox-time", "noon"],
    ],
    [],
  ]);
});

test("signs with the client's clock, by default the machine's", async () => {
  const clocks: unknown[] = [];
  const signing = {
    signature: ({ now }: { readonly now: () => number }) => {
      clocks.push(now);
      return sign();
    },
  };
  const transport = inProcess(createRouterTransport(recordingMailbox().routes));
  const now = () => 1234;
  await createPartialClient(bothPolicy, transport, signing).countLetters({});
  await createPartialClient(bothPolicy, transport, signing, { now }).countLetters({});
  expect(clocks).toEqual([Date.now, now]);
});

test("does not show its secret", () => {
  const { client } = start({ session: token });
  expect(inspect(client, { depth: 9, showHidden: true })).not.toContain(token);
});

test("refuses at construction what the compiler refuses", () => {
  const wrong = (credentials: object) => () =>
    start(credentials as SomeCredentials<typeof bothPolicy>);
  expect(wrong({ session: undefined })).toThrow('"credentials.session" is undefined');
  expect(wrong({ session: "" })).toThrow('"credentials.session" must be a Token');
  expect(wrong({ signature: token })).toThrow('"credentials.signature" must be a function');
  expect(wrong({ session: undefined, signature: sign })).toThrow(TypeError);
  const clock: object = { now: 5 };
  const transport = inProcess(createRouterTransport(() => {}));
  expect(() => createPartialClient(bothPolicy, transport, { session: token }, clock)).toThrow(
    new TypeError('"now" must be a function that returns milliseconds'),
  );
  expect(wrong({ more: token })).toThrow('"credentials.more" is no credential of the policy');
  const plain = createRouterTransport(() => {});
  expect(() =>
    createPartialClient(bothPolicy, plain as ReturnType<typeof inProcess>, { session: token }),
  ).toThrow('"transport" must be made by transportTo');
});
