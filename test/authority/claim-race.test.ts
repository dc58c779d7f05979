import { describe, expect, test } from "vitest";
import { createSharedPlace } from "../store.ts";
import type { Child } from "./child.ts";
import { startChild } from "./child.ts";
import type { Heard, Told } from "./claimant.ts";

type Claimant = Child<Told, Heard>;

const processes = 8;
const runs = 50;
const timeoutMs = 60_000;

describe("claims of one run, from 8 processes on one database, released together", () => {
  test("are won by exactly one of them, in each of 50 runs, and by one of 50 claims", {
    timeout: timeoutMs,
  }, async () => {
    const claimants = await startClaimants("authority");
    const winners: number[] = [];
    for (let runId = 1n; runId <= runs; runId++) {
      winners.push(await race(claimants, runId, () => 1));
    }
    expect(winners).toEqual(Array.from({ length: runs }, () => 1));

    const share = (index: number) => Math.floor((50 + index) / processes);
    expect(claimants.reduce((sum, _, index) => sum + share(index), 0)).toBe(50);
    expect(await race(claimants, 2n ** 64n - 1n, share)).toBe(1);
  });

  test("have several winners when each selects first and inserts later", {
    timeout: timeoutMs,
  }, async () => {
    const claimants = await startClaimants("select-then-insert");
    expect(await race(claimants, 1n, () => 1)).toBe(processes);
  });
});

async function startClaimants(way: string): Promise<Claimant[]> {
  const place = JSON.stringify(await createSharedPlace());
  const claimants = Array.from({ length: processes }, () =>
    startChild<Told, Heard>("claimant.ts", place, way),
  );
  for (const claimant of claimants) {
    expect(await claimant.hear()).toBe("ready");
  }
  return claimants;
}

/** Lets all claim at once; claims that pause go on when every process has paused. Returns the number of winners. */
async function race(
  claimants: readonly Claimant[],
  runId: bigint,
  times: (index: number) => number,
): Promise<number> {
  for (const [index, claimant] of claimants.entries()) {
    claimant.tell({ claim: runId, times: times(index) });
  }
  let heard = await Promise.all(claimants.map((claimant) => claimant.hear()));
  if (heard.includes("paused")) {
    for (const claimant of claimants) {
      claimant.tell({ goOn: true });
    }
    heard = await Promise.all(claimants.map((claimant) => claimant.hear()));
  }
  return heard.reduce((sum, message) => sum + wonOf(message), 0);
}

function wonOf(message: Heard): number {
  if (typeof message === "string") {
    throw new Error(`a claimant says it is ${message} instead of what it won`);
  }
  return message.won;
}
