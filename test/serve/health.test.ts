import { Code, ConnectError, createClient } from "@connectrpc/connect";
import {
  createGrpcTransport,
  createGrpcWebTransport,
  Http2SessionManager,
} from "@connectrpc/connect-node";
import { expect, it } from "vitest";
import {
  Health,
  HealthCheckResponse_ServingStatus as ServingStatus,
} from "../../gen/grpc/health/v1/health_pb.ts";
import { serveMailbox } from "./mailbox-server.ts";

it("tells anybody that the server is serving", async () => {
  await using mailbox = await serveMailbox();
  const health = createClient(Health, createGrpcTransport({ baseUrl: mailbox.server.url }));
  expect((await health.check({})).status).toBe(ServingStatus.SERVING);
});

it.each(["countersign.example.v1.Mailbox", "grpc.health.v1.Health", "no.such.Service"])(
  "does not tell whether there is a service %s",
  async (service) => {
    await using mailbox = await serveMailbox();
    const health = createClient(Health, createGrpcTransport({ baseUrl: mailbox.server.url }));
    const watched = health.watch({ service })[Symbol.asyncIterator]().next();
    for (const settled of await Promise.allSettled([health.check({ service }), watched])) {
      const { code, rawMessage } = ConnectError.from(
        settled.status === "rejected" ? settled.reason : undefined,
      );
      expect([code, rawMessage]).toEqual([
        Code.NotFound,
        "Health is told for the whole server only.",
      ]);
    }
  },
);

it("tells watchers about a shutdown, and ends their calls", async () => {
  await using mailbox = await serveMailbox();
  const health = createClient(
    Health,
    createGrpcWebTransport({ baseUrl: mailbox.server.url, httpVersion: "1.1" }),
  );
  const seen: ServingStatus[] = [];
  for await (const { status } of health.watch({})) {
    seen.push(status);
    void mailbox.server.close();
  }
  expect(seen).toEqual([ServingStatus.SERVING, ServingStatus.NOT_SERVING]);
  await mailbox.server.close();
});

const tooMany = {
  code: Code.Unavailable,
  rawMessage: "The server takes no more calls at present.",
};

/** A client on an HTTP/2 connection of its own. */
function onOneConnection(baseUrl: string) {
  const manager = new Http2SessionManager(baseUrl);
  const health = createClient(Health, createGrpcTransport({ baseUrl, sessionManager: manager }));
  const watch = async () => {
    const call = new AbortController();
    const statuses = health.watch({}, { signal: call.signal })[Symbol.asyncIterator]();
    expect((await statuses.next()).value?.status).toBe(ServingStatus.SERVING);
    return async () => {
      call.abort();
      await statuses.next().catch(() => undefined);
    };
  };
  return { health, watch, [Symbol.dispose]: () => manager.abort() };
}

it("lets a connection have eight watches, and as many again when they end", async () => {
  await using mailbox = await serveMailbox();
  using one = onOneConnection(mailbox.server.url);
  using other = onOneConnection(mailbox.server.url);
  const ends: (() => Promise<void>)[] = [];
  for (let i = 0; i < 8; i++) {
    ends.push(await one.watch());
  }
  await expect(one.watch()).rejects.toMatchObject(tooMany);
  expect((await one.health.check({})).status).toBe(ServingStatus.SERVING);
  await other.watch();
  await ends[0]?.();
  await expect.poll(() => one.watch().catch(() => undefined)).toBeDefined();
  await expect(one.watch()).rejects.toMatchObject(tooMany);
});

it("bounds the watches of all connections, and goes on answering checks", async () => {
  await using mailbox = await serveMailbox({ limits: { maxHealthWatches: 3 } });
  using one = onOneConnection(mailbox.server.url);
  using other = onOneConnection(mailbox.server.url);
  await one.watch();
  await one.watch();
  await other.watch();
  await expect(other.watch()).rejects.toMatchObject(tooMany);
  await expect(one.watch()).rejects.toMatchObject(tooMany);
  expect((await other.health.check({})).status).toBe(ServingStatus.SERVING);
  // A connection that goes takes its watches along.
  one[Symbol.dispose]();
  await expect.poll(() => other.watch().catch(() => undefined)).toBeDefined();
  await other.watch();
  await expect(other.watch()).rejects.toMatchObject(tooMany);
});

it("is counted like other RPCs, and can be left out", async () => {
  await using mailbox = await serveMailbox();
  const health = createClient(Health, createGrpcTransport({ baseUrl: mailbox.server.url }));
  await health.check({});
  expect(mailbox.server.counters()).toContainEqual({
    service: "grpc.health.v1.Health",
    method: "Check",
    allowed: 1,
    refused: 0,
    unavailable: 0,
  });
  await using without = await serveMailbox({ health: false });
  const none = createClient(Health, createGrpcTransport({ baseUrl: without.server.url }));
  await expect(none.check({})).rejects.toSatisfy(
    (reason) => ConnectError.from(reason).code === Code.Unauthenticated,
  );
});
