import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Client } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import type { Control } from "../../gen/countersign/control/v1/control_pb.ts";
import type { RunStatus } from "../../gen/flwr/proto/run_pb.ts";
import { controlPolicy } from "../../src/appio/policy.ts";
import { createAuthenticatedClient } from "../../src/client/authenticated-client.ts";
import { transportTo } from "../../src/client/located-transport.ts";
import { parseToken } from "../../src/policy/token.ts";
import { appBundle } from "../appio/launch/archive.ts";
import { type Started, start } from "../cli/command-line.ts";

/** A part of a federation that can be killed. */
export const victims = ["SuperLink", "SuperNode", "ServerApp", "ClientApp"] as const;
export type Victim = (typeof victims)[number];

const rounds = 3;
const pollMs = "100";
const operatorToken = "operator-of-the-kills";

/**
 * Asks every node that is there to add 40 to the round, and writes down, on a
 * disk of the test's, what the SuperLink has acknowledged and what came back.
 */
const bundle = appBundle(
  { serverapp: "./server-app.js", clientapp: "./client-app.js", config: { rounds, journals: "" } },
  {
    "server-app.js": `import { appendFileSync } from "node:fs";
      import { setTimeout as delay } from "node:timers/promises";
      import { ConfigRecord, Message, RecordDict, ServerApp } from "countersign/appio";
      export default new ServerApp().main(async (grid, { runConfig }) => {
        const note = (entry) => appendFileSync(runConfig.journals + "/run-" + grid.run.runId, JSON.stringify(entry) + "\\n");
        for (let round = 1; round <= Number(runConfig.rounds); round++) {
          let nodeIds = [];
          while ((nodeIds = await grid.getNodeIds()).length === 0) await delay(50);
          const ask = (dstNodeId) => new Message({
            content: new RecordDict({ ask: new ConfigRecord({ round: BigInt(round) }) }), messageType: "query", dstNodeId });
          const pending = new Set((await grid.pushMessages(nodeIds.map(ask))).filter((id) => id !== ""));
          for (const id of pending) note({ kind: "acknowledged", id, round });
          while (pending.size > 0) {
            for (const reply of await grid.pullMessages(pending)) {
              const id = reply.metadata.replyToMessageId;
              pending.delete(id);
              note(reply.hasContent()
                ? { kind: "reply", id, sum: Number(reply.content.getConfigRecord("answer").getInteger("sum")) }
                : { kind: "error reply", id, reason: reply.error.reason });
            }
            await delay(100);
          }
        }
        note({ kind: "done" });
      });`,
    "client-app.js": `import { appendFileSync } from "node:fs";
      import { setTimeout as delay } from "node:timers/promises";
      import { ClientApp, ConfigRecord, RecordDict } from "countersign/appio";
      export default new ClientApp().query(async (message, { runConfig }) => {
        appendFileSync(runConfig.journals + "/executed", message.metadata.messageId + "\\n");
        await delay(200);
        const sum = message.content.getConfigRecord("ask").getInteger("round") + 40n;
        return message.reply(new RecordDict({ answer: new ConfigRecord({ sum }) }));
      });`,
  },
);

/** What a ServerApp wrote down. */
export type JournalEntry =
  | { readonly kind: "acknowledged"; readonly id: string; readonly round: number }
  | { readonly kind: "reply"; readonly id: string; readonly sum: number }
  | { readonly kind: "error reply"; readonly id: string; readonly reason: string }
  | { readonly kind: "done" };

/** Processes that a SuperExec has started and that have not ended. */
class Launched {
  readonly #pids = new Map<string, Set<number>>();

  constructor({ child }: Started) {
    if (child.stdout === null) {
      return;
    }
    createInterface({ input: child.stdout }).on("line", (line) => {
      const { kind, runId, pid } = line.startsWith("{") ? JSON.parse(line) : {};
      const of = this.#pids.get(runId) ?? new Set();
      if (kind === "launched") {
        this.#pids.set(runId, of.add(pid));
      } else if (kind === "exited") {
        // It does not say which of a run's; those that are gone cannot be killed any more.
        this.#pids.set(runId, new Set([...of].filter(isRunning)));
      }
    });
  }

  of(runId: string): number[] {
    return [...(this.#pids.get(runId) ?? [])].filter(isRunning);
  }
}

/** A SuperLink, two SuperNodes and their SuperExecs, a process each, on ports that stay when one is started again. */
export class Federation implements AsyncDisposable {
  readonly #directory: string;
  readonly #started = new Set<Started>();
  readonly #launchers: Launched[] = [];
  readonly #nodes: { port: string; process: Started }[] = [];
  #superLink: Started | undefined;
  #controlClient: Client<typeof Control> | undefined;
  #ports: readonly [appIo: string, fleet: string, control: string] = ["0", "0", "0"];

  private constructor(directory: string) {
    this.#directory = directory;
  }

  static async start(): Promise<Federation> {
    const directory = await mkdtemp(join(tmpdir(), "countersign-kills-test-"));
    const federation = new Federation(directory);
    await writeFile(join(directory, "operator-token"), operatorToken, { mode: 0o600 });
    await writeFile(join(directory, "executed"), "");
    await federation.#startSuperLink();
    await federation.#launch("serverapp", federation.#url(0));
    for (let node = 0; node < 2; node++) {
      await federation.#startNode(node, "0");
      await federation.#launch("clientapp", urlTo(federation.#nodes[node]?.port));
    }
    return federation;
  }

  /** Creates pending runs and returns their ids. */
  async createRuns(count: number): Promise<string[]> {
    const overrideConfig = {
      journals: { scalar: { case: "string" as const, value: this.#directory } },
    };
    const { runIds } = await this.#control().startRuns({ fab: bundle, count, overrideConfig });
    return runIds.map(String);
  }

  /** The status of a run; undefined while the SuperLink is away. */
  async statusOf(runId: string): Promise<RunStatus | undefined> {
    try {
      const { runs } = await this.#control().listRuns({ runIds: [BigInt(runId)] });
      return runs[0]?.status;
    } catch {
      return undefined;
    }
  }

  /** The servers' processes. */
  servers(): Readonly<Record<string, number>> {
    const parts = {
      SuperLink: this.#superLink,
      "SuperNode 1": this.#nodes[0]?.process,
      "SuperNode 2": this.#nodes[1]?.process,
    };
    return Object.fromEntries(
      Object.entries(parts).map(([name, part]) => [name, part?.child.pid ?? 0]),
    );
  }

  /** What the ServerApp of a run wrote down. */
  async journalOf(runId: string): Promise<JournalEntry[]> {
    const lines = await this.#read(`run-${runId}`);
    return lines.map((line) => JSON.parse(line));
  }

  /** Ids of the messages that ClientApps worked on, as often as they did. */
  executed(): Promise<string[]> {
    return this.#read("executed");
  }

  /**
   * Kills a part as a crash would, and starts it again if it is a server.
   *
   * @param runId - whose app it is; servers serve all runs.
   * @returns false if there is no such process at present.
   */
  async kill(victim: Victim, runId: string): Promise<boolean> {
    switch (victim) {
      case "SuperLink":
        await this.#crash(this.#superLink);
        await this.#startSuperLink();
        return true;
      case "SuperNode": {
        const index = Math.random() < 0.5 ? 0 : 1;
        const node = this.#nodes[index];
        await this.#crash(node?.process);
        await this.#startNode(index, node?.port ?? "0");
        return true;
      }
      case "ServerApp":
        return this.#killOneOf(this.#launchers.slice(0, 1), runId);
      case "ClientApp":
        return this.#killOneOf(this.#launchers.slice(1), runId);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { child } of [...this.#started].toReversed()) {
      child.kill("SIGTERM");
    }
    await Promise.all([...this.#started].map(({ ended }) => ended));
    await rm(this.#directory, { recursive: true, force: true });
  }

  #killOneOf(launchers: readonly Launched[], runId: string): boolean {
    const [pid] = launchers.flatMap((launched) => launched.of(runId));
    if (pid !== undefined) {
      process.kill(pid, "SIGKILL");
    }
    return pid !== undefined;
  }

  async #crash(part: Started | undefined): Promise<void> {
    if (part !== undefined) {
      part.child.kill("SIGKILL");
      await part.ended;
      this.#started.delete(part);
    }
  }

  async #startSuperLink(): Promise<void> {
    const [appIo, fleet, control] = this.#ports;
    const { process, ready } = await this.#start([
      ...["superlink", "--isolation", "process", "--database", join(this.#directory, "state.db")],
      ...["--port", appIo, "--fleet-port", fleet, "--control-port", control],
      ...["--operator-token-file", join(this.#directory, "operator-token")],
    ]);
    this.#superLink = process;
    this.#ports = [portOf(ready.serverAppIoUrl), portOf(ready.fleetUrl), portOf(ready.controlUrl)];
  }

  async #startNode(index: number, port: string): Promise<void> {
    const { process, ready } = await this.#start([
      ...["supernode", "--superlink", this.#url(1), "--port", port, "--isolation", "process"],
      ...["--poll-interval-ms", pollMs, "--reply-poll-ms", pollMs, "--max-concurrent", "8"],
    ]);
    this.#nodes[index] = { port: portOf(ready.clientAppIoUrl), process };
  }

  async #launch(type: "serverapp" | "clientapp", appIo: string): Promise<void> {
    const { process } = await this.#start([
      ...["superexec", type, "--appio", appIo, "--poll-interval-ms", pollMs],
      ...["--reply-poll-ms", pollMs, "--object-poll-ms", pollMs],
    ]);
    this.#launchers.push(new Launched(process));
  }

  async #start(parameters: readonly string[]) {
    const process = start(parameters);
    this.#started.add(process);
    return { process, ready: await process.event("ready") };
  }

  #url(service: 0 | 1 | 2): string {
    return urlTo(this.#ports[service]);
  }

  /** One connection: the port stays, and a broken one is opened again. */
  #control() {
    this.#controlClient ??= createAuthenticatedClient(
      controlPolicy,
      transportTo(createGrpcTransport, { baseUrl: this.#url(2) }),
      { operatorToken: parseToken(operatorToken) },
    );
    return this.#controlClient;
  }

  async #read(name: string): Promise<string[]> {
    const text = await readFile(join(this.#directory, name), "utf8").catch(() => "");
    return text.split("\n").filter((line) => line !== "");
  }
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

function portOf(url: unknown): string {
  return new URL(String(url)).port;
}

function urlTo(port: string | undefined): string {
  return `http://127.0.0.1:${port}`;
}
