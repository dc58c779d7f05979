import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Federation, type JournalEntry, type Victim, victims } from "./federation.ts";
import { positiveInteger } from "./inputs.ts";

/** How many runs something is killed in. */
const runCount = positiveInteger("FAULT_RUNS", 8);

/** Runs that go on at the same time. */
const waveSize = 25;

/** The instants at which something is killed, in milliseconds after a run's start: before, in and after its rounds. */
const latestKillMs = 6_000;

let federation: Federation;
beforeAll(async () => {
  federation = await Federation.start();
});
afterAll(() => federation[Symbol.asyncDispose]());

test(`of ${runCount} runs in which something is killed, each ends as it should`, async () => {
  const outcomes = new Map<string, number>();
  for (let done = 0; done < runCount; done += waveSize) {
    const runIds = await federation.createRuns(Math.min(waveSize, runCount - done));
    const wave = runIds.map(async (runId, index) => {
      const victim = victims[(done + index) % victims.length] ?? "SuperLink";
      const killed = await killAtRandom(victim, runId);
      const outcome = await expectSoundEnd(runId);
      const what = `${killed ? victim : "nothing (all was over)"} killed: ${outcome}`;
      outcomes.set(what, (outcomes.get(what) ?? 0) + 1);
    });
    await Promise.all(wave);
    console.log(`${Math.min(done + waveSize, runCount)} of ${runCount} runs`);
  }
  const executed = await federation.executed();
  expect(executed.length, "no message is worked on twice").toBe(new Set(executed).size);
  console.log(outcomes);
  expect([...outcomes.values()].reduce((sum, count) => sum + count, 0)).toBe(runCount);
});

/** Kills at a random instant; a process that is not there yet as soon as it is. */
async function killAtRandom(victim: Victim, runId: string): Promise<boolean> {
  await delay(Math.random() * latestKillMs);
  for (;;) {
    if (await inTurn(() => federation.kill(victim, runId))) {
      return true;
    }
    if ((await federation.statusOf(runId))?.status === "finished") {
      return false;
    }
    await delay(20);
  }
}

let turn: Promise<unknown> = Promise.resolve();

/** One kill at a time: a server is started again before the next one goes. */
function inTurn<T>(work: () => Promise<T>): Promise<T> {
  const mine = turn.then(work);
  turn = mine.catch(() => {});
  return mine;
}

/** Waits for the end of a run, and compares it with what its ServerApp wrote down. */
async function expectSoundEnd(runId: string): Promise<string> {
  let status = await federation.statusOf(runId);
  while (status?.status !== "finished") {
    await delay(200);
    status = await federation.statusOf(runId);
  }
  const journal = await federation.journalOf(runId);
  const isDone = journal.some(({ kind }) => kind === "done");
  if (status.subStatus === "completed") {
    expect(isDone, "a completed run has done all it had to").toBe(true);
    expectAnswered(journal);
  } else {
    expect(status.subStatus).toBe("failed");
    expect(status.details, "the reason").toMatch(/\w{3}/);
  }
  const errors = journal.filter(({ kind }) => kind === "error reply").length;
  const end = status.subStatus === "completed" ? "completed" : `failed (${status.details})`;
  return `${end}${errors > 0 ? ", with error replies" : ""}`;
}

/** Everything that the SuperLink acknowledged was answered once: with the right sum, or an error that says why. */
function expectAnswered(journal: readonly JournalEntry[]): void {
  const expected = new Map<string, number>();
  for (const entry of journal) {
    switch (entry.kind) {
      case "acknowledged":
        expected.set(entry.id, entry.round + 40);
        break;
      case "reply":
        expect(entry.sum).toBe(expected.get(entry.id));
        expected.delete(entry.id);
        break;
      case "error reply":
        expect(entry.reason).toMatch(/\w{3}/);
        expect(expected.delete(entry.id), "an answer to what was asked, once").toBe(true);
        break;
      case "done":
        expect([...expected.keys()], "acknowledged and never answered").toEqual([]);
    }
  }
}
