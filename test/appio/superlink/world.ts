import type { KeyObject } from "node:crypto";
import { ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { Control } from "../../../gen/countersign/control/v1/control_pb.ts";
import { ServerAppIo } from "../../../gen/flwr/proto/serverappio_pb.ts";
import { signAsSuperNode } from "../../../src/appio/credentials/super-node-signer.ts";
import { controlPolicy, fleetPolicy, serverAppIoPolicy } from "../../../src/appio/policy.ts";
import { type SuperLinkOptions, startSuperLink } from "../../../src/appio/superlink/superlink.ts";
import { createAuthenticatedClient } from "../../../src/client/authenticated-client.ts";
import { transportTo } from "../../../src/client/located-transport.ts";
import { parseToken, type Token } from "../../../src/policy/token.ts";
import { createStore } from "../../store.ts";
import { newKey } from "../credentials/keys.ts";
import { createClock, fabBytes } from "../state/world.ts";

/** The operator's token in these tests. */
export const operator = parseToken("operator-of-the-tests");

/** A SuperLink on free ports and a database of its own, and clients of all of its services. */
export async function createSuperLinkWorld(options: Partial<SuperLinkOptions> = {}) {
  const clock = createClock();
  const store = createStore();
  const { databasePath } = options;
  const link = await startSuperLink({
    ...(databasePath === undefined ? { database: await store.open() } : {}),
    operatorToken: operator,
    serverAppIoPort: 0,
    fleetPort: 0,
    controlPort: 0,
    logPollMs: 10,
    now: clock.now,
    ...options,
  });
  const to = (baseUrl: string) => transportTo(createGrpcTransport, { baseUrl });
  const world = {
    ...{ link, clock, state: link.state },
    /** ServerAppIo for a process without a token, protected RPCs included. */
    anybody: createClient(ServerAppIo, to(link.serverAppIoUrl)),
    /** ServerAppIo for the process that holds a run's token. */
    app: (appToken: Token) =>
      createAuthenticatedClient(serverAppIoPolicy, to(link.serverAppIoUrl), { appToken }),
    /** Fleet for the holder of a key. */
    fleet(privateKey: KeyObject) {
      const sign = signAsSuperNode(privateKey);
      const credentials = { superNodeKey: sign, superNode: sign };
      return createAuthenticatedClient(fleetPolicy, to(link.fleetUrl), credentials, {
        now: clock.now,
      });
    },
    control: createAuthenticatedClient(controlPolicy, to(link.controlUrl), {
      operatorToken: operator,
    }),
    /** Control for somebody who is not the operator. */
    stranger: createClient(Control, to(link.controlUrl)),
    async pendingRun(): Promise<bigint> {
      const { runIds } = await world.control.startRuns({ fab: fabBytes });
      return runIds[0] ?? 0n;
    },
    async startingRun() {
      const runId = await world.pendingRun();
      const token = parseToken((await world.anybody.requestToken({ runId })).token);
      return { runId, token, app: world.app(token) };
    },
    async runningRun() {
      const run = await world.startingRun();
      await run.app.pullAppInputs({});
      return run;
    },
    /** A node that is online for an hour, and Fleet for it. */
    async onlineNode() {
      const fleet = world.fleet(newKey());
      await fleet.registerNode({});
      const { nodeId } = await fleet.activateNode({ heartbeatInterval: 1800 });
      return { nodeId, fleet };
    },
    async [Symbol.asyncDispose]() {
      await link.close();
      store.reuse();
    },
  };
  return world;
}

/** How a call failed, as code and text; throws if it did not. */
export async function failureOf(call: Promise<unknown>) {
  const outcome = await call.then(
    () => undefined,
    (reason: unknown) => ConnectError.from(reason),
  );
  if (outcome === undefined) {
    throw new Error("the call should have failed");
  }
  return { code: outcome.code, text: outcome.rawMessage };
}

export type { Transport };
