/** A server that goes and comes back, under a SuperLink with an app and a node. */

import { createGrpcTransport } from "@connectrpc/connect-node";
import pg from "pg";
import { afterAll, beforeAll, expect, it } from "vitest";
import { startHeartbeat } from "../../src/appio/runtime/heartbeat.ts";
import { createRetry } from "../../src/appio/runtime/retry.ts";
import { RunConnection } from "../../src/appio/runtime/run-connection.ts";
import { openPostgres } from "../../src/authority/postgres.ts";
import type { AnySqlDatabase } from "../../src/authority/sql-database.ts";
import { transportTo } from "../../src/client/located-transport.ts";
import type { DecisionEvent } from "../../src/guard/decisions.ts";
import { parseToken } from "../../src/policy/token.ts";
import { createSuperLinkWorld, failureOf } from "../appio/superlink/world.ts";
import {
  clusterUser,
  findPostgresBinaries,
  type PostgresCluster,
  startPostgresCluster,
} from "./cluster.ts";

const refused = { code: 16, text: "Authentication failed." };
const unavailable = { code: 14, text: "The credential cannot be verified at present." };

let cluster: PostgresCluster;
beforeAll(async () => {
  const binaries = findPostgresBinaries();
  if (binaries === undefined) {
    throw new Error("PostgreSQL is not installed");
  }
  cluster = await startPostgresCluster(binaries);
});
afterAll(() => cluster.stop());

/** Opens the one database; a SuperLink closes it with itself. */
function open(): Promise<AnySqlDatabase> {
  const config = { host: cluster.host, user: clusterUser, database: "postgres" };
  return openPostgres({ driver: pg, config });
}

it("apps and nodes live through an outage; a token that ended meanwhile is refused", async () => {
  const events: DecisionEvent[] = [];
  await using world = await createSuperLinkWorld({
    database: await open(),
    onDecision: (event) => {
      events.push(event);
    },
  });
  const { link, clock } = world;
  const run = await world.runningRun();
  const ending = await world.runningRun();
  const { fleet, nodeId } = await world.onlineNode();

  const transport = transportTo(createGrpcTransport, { baseUrl: link.serverAppIoUrl });
  const retries: number[] = [];
  const retry = createRetry({ onRetry: ({ tries }) => retries.push(tries), random: () => 0.2 });
  const connection = new RunConnection({ transport, token: run.token, retry });
  const beats: boolean[] = [];
  const failures: number[] = [];
  const lost: string[] = [];
  const heartbeat = startHeartbeat({
    beat: async (signal) => {
      const isAlive = await connection.sendAppHeartbeat({ signal, timeoutMs: 5_000 });
      beats.push(isAlive);
      return isAlive;
    },
    onFailure: (error) => failures.push(error.code),
    onLost: (reason) => lost.push(reason),
    // Beats as fast as it can, so that the outage falls between two.
    random: () => 0,
    sleep: async (_ms, signal) => {
      if (!signal?.aborted) {
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    },
  });
  await expect.poll(() => beats.length).toBeGreaterThan(1);

  await cluster.halt();
  // Past the first life of a token, within that of one whose heartbeats have come.
  clock.advance(40);

  const nodes = retry.call(() => run.app.getNodes({}));
  const strangers = [
    failureOf(world.app(parseToken("0".repeat(256))).getNodes({})),
    failureOf(ending.app.getNodes({})),
    failureOf(fleet.getRun({ runId: run.runId })),
    // What cannot be a token of ours asks no store.
    failureOf(world.app(parseToken("nonsense")).getNodes({})),
  ];
  expect(await Promise.all(strangers)).toEqual([unavailable, unavailable, unavailable, refused]);
  await expect.poll(() => retries.length, { timeout: 20_000 }).toBeGreaterThan(0);
  await expect.poll(() => failures.length, { timeout: 20_000 }).toBeGreaterThan(0);
  const beatsBefore = beats.length;

  await cluster.resume();
  expect((await nodes).nodes.map((node) => node.nodeId)).toEqual([nodeId]);
  await expect.poll(() => beats.length, { timeout: 20_000 }).toBeGreaterThan(beatsBefore);
  expect(await failureOf(ending.app.getNodes({}))).toEqual(refused);
  expect((await fleet.pullMessages({ node: { nodeId } })).messagesList).toEqual([]);
  await heartbeat.stop();
  expect([beats.every(Boolean), lost, new Set(failures)]).toEqual([true, [], new Set([14])]);

  const outages = events.filter(({ reason }) => reason === "store unavailable");
  expect(new Set(outages.map(({ credential }) => credential))).toEqual(
    new Set(["appToken", "superNode"]),
  );
  expect(outages.every(({ cause }) => cause?.includes("the database is unavailable"))).toBe(true);
  const unavailables = link.counters().reduce((sum, count) => sum + count.unavailable, 0);
  expect(unavailables).toBeGreaterThanOrEqual(outages.length);
});

it("a short outage costs a call nothing but time", async () => {
  await using world = await createSuperLinkWorld({ database: await open() });
  const run = await world.runningRun();
  await cluster.halt();
  const nodes = run.app.getFederationOptions({});
  await cluster.resume();
  await nodes;
});
