import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { contentsOf } from "../../../src/appio/objects/deflate.ts";
import { startRace } from "./race.ts";
import type { Outcome } from "./replica.ts";

type Race = Awaited<ReturnType<typeof startRace>>;

/** How often each race is run: 200 times by `npm run test:replicas`. */
const rounds = Number(process.env.REPLICA_ROUNDS ?? 10);
const timeoutMs = 60_000 + rounds * 500;

describe(`two replicas on one database, released together ${rounds} times`, () => {
  let race: Race;
  beforeAll(async () => {
    race = await startRace("superlink");
  });
  afterAll(() => race.close());

  test("case 67: one of two PullAppInputs starts the run, the other is refused", {
    timeout: timeoutMs,
  }, async () => {
    const tally = createTally("case 67, PullAppInputs");
    for (let round = 0; round < rounds; round++) {
      const outcomes = await pullInputs(race);
      tally.add(outcomes, (outcome) => outcome === "ok");
      expect(outcomes.toSorted()).toEqual(["FailedPrecondition", "ok"]);
    }
    tally.print();
  });

  test("case 68: one instruction is delivered once", { timeout: timeoutMs }, async () => {
    const tally = createTally("case 68, one instruction");
    const { runId } = await race.runningRun();
    for (let round = 0; round < rounds; round++) {
      const [id] = await sendInstructions(race, runId, 1);
      const outcomes = await takeInstructions(race, runId);
      tally.add(outcomes, ({ length }) => length > 0);
      expect(outcomes.flat()).toEqual([id]);
    }
    tally.print();
  });

  test("case 68: of two instructions each replica delivers one", {
    timeout: timeoutMs,
  }, async () => {
    const tally = createTally("case 68, two instructions");
    const { runId } = await race.runningRun();
    for (let round = 0; round < rounds; round++) {
      const ids = await sendInstructions(race, runId, 2);
      const outcomes = await takeInstructions(race, runId);
      tally.add(outcomes, ({ length }) => length > 0);
      expect(outcomes.map(({ length }) => length)).toEqual([1, 1]);
      expect(outcomes.flat().toSorted()).toEqual(ids.toSorted());
    }
    tally.print();
  });

  test("case 68: both may answer with a reply, which is the same, and gone once confirmed", {
    timeout: timeoutMs,
  }, async () => {
    const tally = createTally("case 68, one reply");
    const { runId, token } = await race.runningRun();
    for (let round = 0; round < rounds; round++) {
      const { instructionId, replyId } = await sendAnswered(race, runId);
      const pull = { kind: "pullReply", runId, token, instructionId } as const;
      const outcomes = await race.both(pull);
      tally.add(outcomes, ({ length }) => length > 0);
      expect(outcomes).toEqual([[replyId], [replyId]]);
      const confirm = { kind: "confirm", runId, token, messageId: replyId } as const;
      expect(await race.both(confirm)).toEqual(["ok", "ok"]);
      const later = await race.both(pull);
      expect(later[0], "the one error reply").toEqual(later[1]);
      expect(later[0]).not.toContain(replyId);
    }
    tally.print();
  });

  test("case 68: an error reply is made once, whoever is asked first", {
    timeout: timeoutMs,
  }, async () => {
    const tally = createTally("case 68, one error reply");
    const run = await race.runningRun();
    for (let round = 0; round < rounds; round++) {
      const outcomes = await pullUnknown(race, run);
      tally.add(outcomes, ({ length }) => length > 0);
      expect(outcomes[0]).toHaveLength(1);
      expect(outcomes[1]).toEqual(outcomes[0]);
    }
    tally.print();
  });
});

describe("the same races between replicas that look first and write later", () => {
  let race: Race;
  beforeAll(async () => {
    race = await startRace("select-then-update");
  });
  afterAll(() => race.close());

  test("case 67: start the run twice", async () => {
    expect(await pullInputs(race)).toEqual(["ok", "ok"]);
  });

  test("case 68: deliver one instruction twice", async () => {
    const { runId } = await race.runningRun();
    const [id] = await sendInstructions(race, runId, 1);
    expect(await takeInstructions(race, runId)).toEqual([[id], [id]]);
  });

  test("case 68: deliver one of two instructions twice", async () => {
    const { runId } = await race.runningRun();
    const [first] = await sendInstructions(race, runId, 2);
    expect(await takeInstructions(race, runId)).toEqual([[first], [first]]);
  });

  test("case 68: make two error replies", async () => {
    const outcomes = await pullUnknown(race, await race.runningRun());
    expect(outcomes[1]).not.toEqual(outcomes[0]);
  });
});

async function pullInputs(race: Race): Promise<readonly Outcome[]> {
  return race.both({ kind: "pullAppInputs", ...(await race.startingRun()) });
}

/** Sends messages to the race's node, and returns their ids. */
async function sendInstructions(race: Race, runId: bigint, count: number): Promise<string[]> {
  const drafts = Array.from({ length: count }, () => race.instruction(runId, race.nodeId));
  const { messageIds } = await race.state.instructions.push(
    runId,
    drafts.map(({ message }) => message),
    drafts.map(({ tree }) => tree),
  );
  return messageIds;
}

/** Lets the node ask both, and confirm what it got: else it would be delivered again later. */
async function takeInstructions(race: Race, runId: bigint): Promise<readonly Outcome[]> {
  const outcomes = await race.both({ kind: "takeInstruction", nodeId: race.nodeId });
  for (const id of outcomes.flat()) {
    await race.state.objects.release(runId, id);
  }
  return outcomes;
}

async function sendAnswered(race: Race, runId: bigint) {
  const instruction = race.instruction(runId, race.nodeId);
  const { state } = race;
  await state.instructions.push(runId, [instruction.message], [instruction.tree]);
  const reply = race.reply(instruction);
  await state.replies.push(reply.message, reply.tree, 0);
  for (const [id, content] of contentsOf(reply.object)) {
    await state.objects.put(runId, id, content);
  }
  return { instructionId: instruction.id, replyId: reply.id };
}

/** Asks both for the answer to an instruction that there never was. */
function pullUnknown(
  race: Race,
  { runId, token }: { readonly runId: bigint; readonly token: string },
): Promise<readonly Outcome[]> {
  const instructionId = Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString("hex");
  return race.both({ kind: "pullReply", runId, token, instructionId });
}

/** Counts who won, for the report. */
function createTally(name: string) {
  const wins = [0, 0];
  const counts = { none: 0, one: 0, both: 0 };
  let total = 0;
  return {
    add(outcomes: readonly Outcome[], hasWon: (outcome: Outcome) => boolean) {
      const won = outcomes.map(hasWon);
      won.forEach((each, index) => {
        wins[index] = (wins[index] ?? 0) + Number(each);
      });
      const winners = won.filter((each) => each).length;
      counts[winners === 0 ? "none" : winners === 1 ? "one" : "both"] += 1;
      total += 1;
    },
    print() {
      console.log(
        `${name}: ${total} rounds; answered by one replica ${counts.one} times, by both ${counts.both}, by none ${counts.none}; replica 1 ${wins[0]} times, replica 2 ${wins[1]}`,
      );
    },
  };
}
