import { Code, createRouterTransport } from "@connectrpc/connect";
import * as node from "@connectrpc/connect-node";
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import {
  createGuard,
  createOpenClient,
  inProcess,
  type LocatedTransport,
  parseToken,
  service,
  transportTo,
} from "countersign";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { MailboxClient } from "../../gen/countersign/example/v1/mailbox_countersign.ts";
import { collect, each, eitherPolicy, listen, type RawServer, sessionPolicy } from "./mailbox.ts";

const guard = createGuard({
  services: [
    service(eitherPolicy, {
      getBulletin: () => ({ text: "welcome" }),
      openSession: () => ({ session: "s-7" }),
      countLetters: (_, { caller }) => ({ count: Number(caller.mailboxId) }),
      sendLetter: (_, { caller }) => ({ mailboxId: caller.mailboxId }),
      async *watchLetters(_, { caller }) {
        yield { letter: { text: caller.credential } };
      },
      async importLetters(requests) {
        return { count: (await collect(requests)).length };
      },
      async *converse(requests, { caller }) {
        for await (const _ of requests) {
          yield { mailboxId: caller.mailboxId };
        }
      },
    }),
  ],
  verifiers: {
    session: (token) => (token === "s-7" ? { mailboxId: 7n } : undefined),
    signature: (shown, { method }) =>
      shown["mailbox-key-bin"][0] === 8 && shown["mailbox-time"] === `noon:${method.name}`
        ? { mailboxId: 8n }
        : undefined,
  },
});

let http1: RawServer;
let http2: RawServer;
beforeAll(async () => {
  http1 = await listen("1.1", node.connectNodeAdapter({ routes: guard.routes }));
  http2 = await listen("2", node.connectNodeAdapter({ routes: guard.routes }));
});
afterAll(() => Promise.all([http1?.close(), http2?.close()]));

const ways: Record<string, () => LocatedTransport> = {
  "gRPC in Node": () => transportTo(node.createGrpcTransport, { baseUrl: http2.url }),
  "gRPC-web with fetch": () => transportTo(createGrpcWebTransport, { baseUrl: http1.url }),
  "in process": () => inProcess(createRouterTransport(guard.routes)),
};

describe.each(Object.entries(ways))("a guarded server over %s", (name, transport) => {
  const refusal = { code: Code.Unauthenticated, rawMessage: "Authentication failed." };

  test("lets a client bootstrap: open RPCs first, then all of them", async () => {
    const bootstrap = createOpenClient(sessionPolicy, transport());
    expect((await bootstrap.getBulletin({})).text).toBe("welcome");
    const token = parseToken((await bootstrap.openSession({})).session);
    const client = new MailboxClient(sessionPolicy, transport(), { session: token });
    const stale = { headers: { "mailbox-session": "stale" } };
    expect((await client.countLetters({}, stale)).count).toBe(7);
    const [watched] = await collect(client.watchLetters({}, stale));
    expect(watched?.letter?.text).toBe("session");
    if (name !== "gRPC-web with fetch") {
      expect((await client.importLetters(each({}, {}), stale)).count).toBe(2);
      const answers = await collect(client.converse(each({}, {}), stale));
      expect(answers.map(({ mailboxId }) => mailboxId)).toEqual([7n, 7n]);
    }
    expect((await client.getBulletin({}, stale)).text).toBe("welcome");
  });

  test("refuses an unknown token", async () => {
    const client = new MailboxClient(sessionPolicy, transport(), { session: parseToken("s-8") });
    await expect(client.countLetters({})).rejects.toMatchObject(refusal);
    await expect(collect(client.watchLetters({}))).rejects.toMatchObject(refusal);
    expect((await client.getBulletin({})).text).toBe("welcome");
  });

  test("takes a credential that is signed for each call", async () => {
    const client = new MailboxClient(eitherPolicy, transport(), {
      signature: async ({ method }) => ({
        "mailbox-key-bin": new Uint8Array([8]),
        "mailbox-time": `noon:${method.name}`,
      }),
    });
    expect((await client.countLetters({})).count).toBe(8);
    const [watched] = await collect(client.watchLetters({}));
    expect(watched?.letter?.text).toBe("signature");
  });

  test("is sent exactly one credential by a client that has both", async () => {
    const client = new MailboxClient(eitherPolicy, transport(), {
      session: parseToken("s-7"),
      signature: () => ({ "mailbox-key-bin": new Uint8Array([8]), "mailbox-time": "noon" }),
    });
    expect((await client.sendLetter({})).mailboxId).toBe(7n);
  });
});
