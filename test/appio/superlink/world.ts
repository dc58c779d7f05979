import { ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { Control } from "../../../gen/countersign/control/v1/control_pb.ts";
import { Fleet } from "../../../gen/flwr/proto/fleet_pb.ts";
import { ServerAppIo } from "../../../gen/flwr/proto/serverappio_pb.ts";
import { controlPolicy, serverAppIoPolicy } from "../../../src/appio/policy.ts";
import { startSuperLink } from "../../../src/appio/superlink/superlink.ts";
import { createAuthenticatedClient } from "../../../src/client/authenticated-client.ts";
import { transportTo } from "../../../src/client/located-transport.ts";
import { parseToken, type Token } from "../../../src/policy/token.ts";
import { createClock, fabBytes } from "../state/world.ts";

/** The operator's token in these tests. */
export const operator = parseToken("operator-of-the-tests");

/** A SuperLink on free ports, in memory, and clients of all of its services. */
export async function createSuperLinkWorld() {
  const clock = createClock();
  const link = await startSuperLink({
    databasePath: ":memory:",
    operatorToken: operator,
    serverAppIoPort: 0,
    fleetPort: 0,
    controlPort: 0,
    logPollMs: 10,
    now: clock.now,
  });
  const to = (baseUrl: string) => transportTo(createGrpcTransport, { baseUrl });
  const world = {
    ...{ link, clock, state: link.state },
    /** ServerAppIo for a process without a token, protected RPCs included. */
    anybody: createClient(ServerAppIo, to(link.serverAppIoUrl)),
    /** ServerAppIo for the process that holds a run's token. */
    app: (appToken: Token) =>
      createAuthenticatedClient(serverAppIoPolicy, to(link.serverAppIoUrl), { appToken }),
    fleet: createClient(Fleet, to(link.fleetUrl)),
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
    async onlineNode(): Promise<bigint> {
      const publicKey = crypto.getRandomValues(new Uint8Array(32));
      await world.fleet.registerNode({ publicKey });
      return (await world.fleet.activateNode({ publicKey, heartbeatInterval: 1800 })).nodeId;
    },
    [Symbol.asyncDispose]: () => link.close(),
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
