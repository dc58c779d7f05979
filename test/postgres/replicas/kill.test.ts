import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { StateTables } from "../../../src/appio/state/tables.ts";
import type { SqlDatabase } from "../../../src/authority/sql-database.ts";
import { toSqlInteger } from "../../../src/authority/sql-integer.ts";
import { appBundle } from "../../appio/launch/archive.ts";
import { run, type Started, start } from "../../cli/command-line.ts";
import { openPlace, type Place } from "../../place.ts";
import { createSharedPlace } from "../../store.ts";
import { type Front, startFront } from "./front.ts";

/** Two nodes, so that each replica has one of them at first. */
const nodes = 2;
const rounds = 6;
const pollMs = "100";

/** How often a SuperLink is killed at a random instant. */
const kills = 5;

/**
 * In every round asks each node to add 40 to the round, and logs the answers. A
 * node writes down each message that its app works on.
 */
const bundle = appBundle(
  { serverapp: "./server-app.js", clientapp: "./client-app.js", config: { rounds, nodes } },
  {
    "server-app.js": `import { ConfigRecord, Message, RecordDict, ServerApp } from "countersign/appio";
      export default new ServerApp().main(async (grid, { runConfig }) => {
        let nodeIds = [];
        let count = 0;
        while (nodeIds.length < Number(runConfig.nodes)) nodeIds = await grid.getNodeIds();
        for (let round = 1; round <= Number(runConfig.rounds); round++) {
          const ask = (dstNodeId) => new Message({
            content: new RecordDict({ ask: new ConfigRecord({ round: BigInt(round) }) }), messageType: "query", dstNodeId });
          const messages = nodeIds.map(ask);
          const replies = await grid.sendAndReceive(messages);
          for (const reply of replies) {
            const sum = reply.hasContent() ? Number(reply.content.getConfigRecord("answer").getInteger("sum")) : "error " + reply.error.code;
            console.log(JSON.stringify({ count: ++count, round, answers: reply.metadata.replyToMessageId, sum }));
          }
        }
      });`,
    "client-app.js": `import { appendFileSync } from "node:fs";
      import { ClientApp, ConfigRecord, RecordDict } from "countersign/appio";
      export default new ClientApp().query((message, { nodeConfig }) => {
        appendFileSync(String(nodeConfig.journal), message.metadata.messageId + "\\n");
        const sum = message.content.getConfigRecord("ask").getInteger("round") + 40n;
        return message.reply(new RecordDict({ answer: new ConfigRecord({ sum }) }));
      });`,
  },
);

interface SuperLink {
  readonly process: Started;
  readonly urls: Readonly<Record<"serverAppIoUrl" | "fleetUrl" | "controlUrl", string>>;
}

let directory: string;
let processes: Started[];
let superLinks: SuperLink[];
let fronts: Record<"appIo" | "fleet" | "control", Front>;
let database: SqlDatabase<StateTables>;
let operator: string[];
let startSuperLink: () => Promise<SuperLink>;

/** Two SuperLinks behind fronts, two SuperNodes and a SuperExec before them. */
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "countersign-kill-test-"));
  processes = [];
  const tokenFile = join(directory, "operator-token");
  await writeFile(tokenFile, "operator-of-the-replicas", { mode: 0o600 });
  const place = await createSharedPlace();
  database = (await openPlace(place)).withTables<StateTables>();
  startSuperLink = () => startSuperLinkOn(databaseUrl(place), tokenFile);
  superLinks = await Promise.all([startSuperLink(), startSuperLink()]);
  const frontOf = (name: keyof SuperLink["urls"]) =>
    startFront(superLinks.map(({ urls }) => urls[name]));
  fronts = {
    appIo: await frontOf("serverAppIoUrl"),
    fleet: await frontOf("fleetUrl"),
    control: await frontOf("controlUrl"),
  };
  operator = ["--superlink", fronts.control.url, "--operator-token-file", tokenFile];
  await launch(
    ...["superexec", "serverapp", "--appio", fronts.appIo.url],
    ...["--poll-interval-ms", pollMs, "--reply-poll-ms", pollMs, "--object-poll-ms", pollMs],
  );
  for (let node = 1; node <= nodes; node++) {
    await launch(
      ...["supernode", "--superlink", fronts.fleet.url, "--port", "0"],
      ...["--poll-interval-ms", pollMs, "--reply-poll-ms", pollMs, "--superexec-poll-ms", pollMs],
      ...["--node-config", `journal=${journalOf(node)}`],
    );
    await writeFile(journalOf(node), "");
  }
});

afterAll(async () => {
  for (const { child } of processes.toReversed()) {
    child.kill("SIGTERM");
  }
  await Promise.all(processes.map(({ ended }) => ended));
  await Promise.all(Object.values(fronts).map((front) => front.close()));
  await database.close();
  await rm(directory, { recursive: true, force: true });
});

describe("a federated run one of whose SuperLinks is killed completes on the other one", () => {
  test(`whenever that is, ${kills} times`, { timeout: kills * 60_000 }, async () => {
    for (let time = 1; time <= kills; time++) {
      const runId = await startRun();
      await hasAnswers(runId, 1 + Math.floor(Math.random() * nodes * (rounds - 2)));
      await delay(Math.random() * 300);
      const victim = Math.random() < 0.5 ? 0 : 1;
      await kill(victim);
      report(`killed SuperLink ${victim + 1} at a random instant`, await expectAllDone(runId));
      await restart(victim);
    }
  });

  test("also when a message was handed out and never arrived", { timeout: 60_000 }, async () => {
    const runId = await startRun();
    await hasAnswers(runId, 1);
    const { victim, lost } = await loseMessage();
    await kill(victim);
    const done = await expectAllDone(runId);
    expect(done.messageIds).toContain(lost);
    report(`killed SuperLink ${victim + 1} between a delivery and its answer`, done);
  });
});

/**
 * Keeps the answers of one SuperLink from arriving, though what it does for the
 * nodes is done, until one of them had a message in it.
 */
async function loseMessage(): Promise<{ readonly victim: number; readonly lost: string }> {
  for (;;) {
    await untilAllAreAsked();
    const victim = fronts.fleet.targets.findIndex(({ connections }) => connections > 0);
    const target = fronts.fleet.targets[victim];
    if (target === undefined) {
      throw new Error("no node is connected");
    }
    target.answersPass = false;
    const lost = await findLostMessage();
    if (lost !== undefined) {
      return { victim, lost };
    }
    // The answer that was lost was another one, and its node waits for it.
    target.answersPass = true;
    fronts.fleet.cut();
  }
}

/** Waits until every node has a message that it is about to ask for. */
async function untilAllAreAsked(): Promise<void> {
  for (;;) {
    const { waiting } = await database.query
      .selectFrom("instruction")
      .select(({ fn }) => fn.countAll().as("waiting"))
      .where("delivered_at", "is", null)
      .executeTakeFirstOrThrow();
    if (Number(waiting) === nodes) {
      return;
    }
  }
}

/** Waits for a message that was handed out a while ago and is not confirmed; undefined if there is none after 3 s. */
async function findLostMessage(): Promise<string | undefined> {
  for (let waitedMs = 0; waitedMs < 3_000; waitedMs += 50) {
    const row = await database.query
      .selectFrom("instruction")
      .innerJoin("run_object", (join) =>
        join
          .onRef("run_object.run_id", "=", "instruction.run_id")
          .onRef("run_object.object_id", "=", "instruction.message_id"),
      )
      .select("instruction.message_id")
      .where("instruction.delivered_at", "<", database.now() - 1000)
      .executeTakeFirst();
    if (row !== undefined) {
      return row.message_id;
    }
    await delay(50);
    await database.transaction(async () => {});
  }
  return undefined;
}

async function startSuperLinkOn(url: string, tokenFile: string): Promise<SuperLink> {
  const process = start(
    [
      ...["superlink", "--isolation", "process", "--operator-token-file", tokenFile],
      ...["--port", "0", "--fleet-port", "0", "--control-port", "0", "--log-poll-ms", pollMs],
    ],
    { COUNTERSIGN_DATABASE: url },
  );
  processes.push(process);
  const ready = await process.event("ready");
  const urlOf = (name: string) => String(ready[name]);
  const urls = {
    serverAppIoUrl: urlOf("serverAppIoUrl"),
    fleetUrl: urlOf("fleetUrl"),
    controlUrl: urlOf("controlUrl"),
  };
  return { process, urls };
}

async function launch(...parameters: string[]): Promise<void> {
  const started = start(parameters);
  processes.push(started);
  await started.event("ready");
}

async function startRun(): Promise<string> {
  const file = join(directory, "app.tgz");
  await writeFile(file, bundle);
  const { stdout, stderr } = await run(["run", file, ...operator]);
  expect(stderr).toBe("");
  return stdout.trim();
}

/** Kills one of the SuperLinks as a crash would. The fronts see what a load balancer sees: it is gone. */
async function kill(index: number): Promise<number> {
  const { process } = superLinks[index] ?? {};
  process?.child.kill("SIGKILL");
  for (const front of Object.values(fronts)) {
    const target = front.targets[index];
    if (target !== undefined) {
      target.isUp = false;
    }
  }
  await process?.ended;
  return index;
}

/** Starts a SuperLink in the place of one that was killed. */
async function restart(index: number): Promise<void> {
  const superLink = await startSuperLink();
  superLinks[index] = superLink;
  for (const [front, url] of [
    [fronts.appIo, superLink.urls.serverAppIoUrl],
    [fronts.fleet, superLink.urls.fleetUrl],
    [fronts.control, superLink.urls.controlUrl],
  ] as const) {
    front.replace(index, url);
  }
}

/** Waits until the app has got so many answers. */
async function hasAnswers(runId: string, count: number): Promise<void> {
  while ((await answersOf(runId)).length < count) {
    await delay(50);
  }
}

/** Messages of the runs before. */
const executedBefore = new Set<string>();

interface Answer {
  /** How many answers the app had got with this one. */
  readonly count: number;
  readonly round: number;
  readonly answers: string;
  readonly sum: number | string;
}

async function answersOf(runId: string): Promise<Answer[]> {
  const rows = await database.query
    .selectFrom("run_log")
    .select("text")
    .where("run_id", "=", toSqlInteger(BigInt(runId)))
    .orderBy("logged_at")
    .execute();
  const log = rows.map(({ text }) => text).join("");
  const lines = log.split("\n").filter((line) => line.startsWith("{") && line.endsWith("}"));
  // Lines whose upload was not answered are uploaded again.
  return [...new Set(lines)].map((line) => JSON.parse(line));
}

/** Waits for the end of the run: completed, every message answered once, none worked on twice. */
async function expectAllDone(runId: string) {
  for (;;) {
    const row = await database.query
      .selectFrom("run")
      .select(["finished_at", "sub_status", "details"])
      .where("run_id", "=", toSqlInteger(BigInt(runId)))
      .executeTakeFirstOrThrow();
    if (row.finished_at !== null) {
      expect(row).toMatchObject({ sub_status: "completed", details: "" });
      break;
    }
    await delay(100);
  }
  const answers = await answersOf(runId);
  const expected = Array.from({ length: rounds }, (_, index) => index + 1).flatMap((round) =>
    Array.from({ length: nodes }, () => ({ round, sum: round + 40 })),
  );
  expect(answers.map(({ round, sum }) => ({ round, sum }))).toEqual(expected);
  expect(answers.map(({ count }) => count)).toEqual(expected.map((_, index) => index + 1));
  const messageIds = answers.map((answer) => answer.answers);
  const journals = await Promise.all(
    Array.from({ length: nodes }, (_, index) => readFile(journalOf(index + 1), "utf8")),
  );
  const executed = journals
    .join("")
    .trim()
    .split("\n")
    .filter((id) => !executedBefore.has(id));
  expect(executed.toSorted(), "each message once, and no other").toEqual(messageIds.toSorted());
  for (const id of executed) {
    executedBefore.add(id);
  }
  return { messageIds, executed };
}

function report(what: string, { messageIds, executed }: Awaited<ReturnType<typeof expectAllDone>>) {
  const twice = executed.length - new Set(executed).size;
  console.log(
    `${what}: ${rounds} rounds completed, ${messageIds.length} replies to ${nodes * rounds} instructions, ${executed.length} executions, ${twice} of them repeated`,
  );
}

function journalOf(node: number): string {
  return join(directory, `journal-${node}`);
}

function databaseUrl(place: Place): string {
  if ("path" in place) {
    throw new Error("these tests are for PostgreSQL");
  }
  const { host = "", user, database: name, options = "" } = place.config;
  return `postgres://${user}@/${name}?${new URLSearchParams({ host, options })}`;
}
