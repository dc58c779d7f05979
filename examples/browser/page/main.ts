import { ConnectError } from "@connectrpc/connect";
import type { LocatedTransport } from "countersign";
import { type ClientAppOutcome, type Sleep, startWorkerSleep } from "countersign/appio";
import { answerMessages, type ExecutorEvent } from "./executor.ts";
import { createLineApp } from "./line-app.ts";
import { measure } from "./measurements.ts";
import { connectToNode } from "./node-transport.ts";
import { createView } from "./view.ts";

/**
 * What the page's address may say: `node`, URL of the SuperNode; `seed`, of the measurements; `pace`, by which the waits
 * of all loops are divided, for demonstrations.
 */
const given = new URLSearchParams(location.search);
const pace = Math.max(1, Number(given.get("pace") ?? 1));
const seed = Number(given.get("seed") ?? crypto.getRandomValues(new Uint32Array(1))[0]);
const points = measure(seed);
const view = createView(given.get("node") ?? "http://127.0.0.1:9094", points);

let leave: (() => void) | undefined;

view.onToggle((node) => {
  if (leave === undefined) {
    void join(node);
  } else {
    leave();
  }
});

async function join(node: string): Promise<void> {
  const leaving = new AbortController();
  leave = () => leaving.abort();
  try {
    const transport = connectToNode(node, view.showHeartbeat);
    const worker = await startWorkerSleep();
    view.showStatus("joined", `joined ${node}`);
    try {
      await answer(transport, worker.sleep, leaving.signal, node);
    } finally {
      worker.close();
    }
  } catch (error) {
    view.log(textOf(error), true);
  }
  leave = undefined;
  view.showStatus("left", "not joined");
}

function answer(
  transport: LocatedTransport,
  workerSleep: Sleep,
  signal: AbortSignal,
  node: string,
): Promise<void> {
  const app = createLineApp({ points, onProgress: view.showProgress, sleep: workerSleep });
  const sleep: Sleep = (ms, signal) => workerSleep(ms / pace, signal);
  const onEvent = (event: ExecutorEvent): void => showEvent(event, node);
  return answerMessages({ transport, app, sleep, signal, onEvent, onLog: view.log });
}

function showEvent(event: ExecutorEvent, node: string): void {
  switch (event.kind) {
    case "looked":
      view.showStatus("joined", `joined ${node}: ${waiting(event.pendingRuns)}`);
      return;
    case "failed":
      view.showStatus("failing", textOf(event.error));
      return;
    case "claimed":
      view.showClaim(event.runId);
      view.showStatus("joined", `joined ${node}: answering a message`);
      view.log(`Claimed a message of run ${event.runId}.`);
      return;
    case "ended":
      view.showEnd(event.outcome.kind === "replied");
      view.log(`Run ${event.runId}: ${describe(event.outcome)}`, event.outcome.kind !== "replied");
  }
}

function waiting(pendingRuns: number): string {
  return pendingRuns === 0 ? "no message waits" : "a message waits";
}

function describe(outcome: ClientAppOutcome): string {
  if (outcome.kind !== "replied") {
    return "error" in outcome ? `${outcome.kind}: ${textOf(outcome.error)}` : outcome.kind;
  }
  return outcome.errorCode === undefined
    ? "the reply is on its way to the ServerApp."
    : `the reply says that this app failed (code ${outcome.errorCode}).`;
}

function textOf(error: unknown): string {
  return error instanceof Error ? ConnectError.from(error).rawMessage : String(error);
}
