import { create } from "@bufbuild/protobuf";
import type { Interceptor } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { afterEach, expect } from "vitest";
import { type Scalar, ScalarSchema } from "../../../gen/flwr/proto/transport_pb.ts";
import { createSuperNodeVerifiers } from "../../../src/appio/credentials/super-node-verifier.ts";
import { clientAppIoPolicy } from "../../../src/appio/policy.ts";
import type { LinkState } from "../../../src/appio/state/link-state.ts";
import { fleetService } from "../../../src/appio/superlink/fleet.ts";
import { type SuperNodeOptions, startSuperNode } from "../../../src/appio/supernode/supernode.ts";
import { createAuthenticatedClient } from "../../../src/client/authenticated-client.ts";
import { transportTo } from "../../../src/client/located-transport.ts";
import { createOpenClient } from "../../../src/client/open-client.ts";
import { parseToken } from "../../../src/policy/token.ts";
import { serve } from "../../../src/serve/serve.ts";
import { archive } from "../launch/archive.ts";
import { createClock, createWorld } from "../state/world.ts";

const cleanups: (() => unknown)[] = [];

/** Does something when the test has ended, the last first. */
export function atTestEnd(cleanup: () => unknown): void {
  cleanups.push(cleanup);
}

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) {
    await cleanup();
  }
});

/** Polls until what is expected is so. */
export const eventually = <T>(read: () => T) =>
  expect.poll(read, { timeout: 20_000, interval: 10 });

/**
 * The Fleet side of a SuperLink on a state that the test reaches into, as a ServerApp would.
 *
 * @param watched what the SuperLink uses in place of the state, for tests that watch it at work
 */
export async function superLink(watched = (state: LinkState) => state) {
  // Of today: ClientApps date their replies by the host's clock, and one that is
  // older than its instruction's day is none.
  const world = await createWorld(undefined, createClock(Date.now()));
  atTestEnd(() => world[Symbol.asyncDispose]());
  const { nodes } = world.state;
  const findNode = (publicKey: Uint8Array) => nodes.idOf(publicKey);
  const server = await serve({
    services: [fleetService(watched(world.state))],
    verifiers: createSuperNodeVerifiers({ findNode, now: world.clock.now }),
    port: 0,
  });
  atTestEnd(() => server.close());
  return { ...world, server };
}

/** What {@link superLink} makes. */
export type SuperLink = Awaited<ReturnType<typeof superLink>>;

/** A node of the SuperLink with short intervals; what passes between the two can be changed on the way. */
export async function nodeOf(
  link: SuperLink,
  options: Partial<SuperNodeOptions> = {},
  ...interceptors: Interceptor[]
) {
  const log: string[] = [];
  const node = await startSuperNode({
    fleet: transportVia(link, interceptors),
    clientAppIoPort: 0,
    pollIntervalMs: 10,
    replyPollIntervalMs: 10,
    now: link.clock.now,
    onLog: (line) => log.push(line),
    ...options,
  });
  atTestEnd(() => node.close());
  return {
    ...node,
    log,
    bootstrap: createOpenClient(clientAppIoPolicy, grpcTo(node.clientAppIoUrl)),
  };
}

/** What {@link nodeOf} makes. */
export type LinkedNode = Awaited<ReturnType<typeof nodeOf>>;

function transportVia(link: SuperLink, interceptors: Interceptor[]) {
  const sessionManager = new Http2SessionManager(link.server.url);
  atTestEnd(() => sessionManager.abort());
  return transportTo(createGrpcTransport, {
    baseUrl: link.server.url,
    sessionManager,
    interceptors,
  });
}

/** Reaches a server until the test ends. */
export function grpcTo(baseUrl: string) {
  const sessionManager = new Http2SessionManager(baseUrl);
  atTestEnd(() => sessionManager.abort());
  return transportTo(createGrpcTransport, { baseUrl, sessionManager });
}

/** Claims the app of a run as a SuperExec does, and is that app. */
export async function appOf(node: LinkedNode, runId: bigint) {
  await eventually(async () => (await node.bootstrap.listAppsToLaunch({})).runIds).toContain(runId);
  const token = parseToken((await node.bootstrap.requestToken({ runId })).token);
  const app = createAuthenticatedClient(clientAppIoPolicy, grpcTo(node.clientAppIoUrl), {
    appToken: token,
  });
  return { token, app };
}

/** A bundle whose defaults are a learning rate of 0.1 and 2 layers. */
function configuredBundle(): Uint8Array {
  const countersign = {
    clientapp: "./app.js",
    config: { "learning-rate": 0.1, model: { layers: 2 } },
  };
  const manifest = { name: "app", version: "1.0.0", countersign };
  return archive([
    { path: "package/package.json", content: JSON.stringify(manifest) },
    { path: "package/app.js", content: "" },
  ]);
}

/** A running run of a bundle. */
export async function runOf(
  link: SuperLink,
  overrides: Record<string, Scalar["scalar"]>,
  fab = configuredBundle(),
): Promise<bigint> {
  const overrideConfig = Object.fromEntries(
    Object.entries(overrides).map(([key, scalar]) => [key, create(ScalarSchema, { scalar })]),
  );
  const [runId = 0n] = await link.state.runs.create({ fab, overrideConfig });
  await link.state.runs.claim(runId);
  await link.state.inputs.start(runId);
  return runId;
}
