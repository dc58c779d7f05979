/**
 * The main job: federated averaging of a handwritten-digit classifier over three nodes, each process of its own, every
 * RPC guarded.
 *
 *   node -C countersign-source examples/mnist/main.ts [rounds]
 */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { packBundle } from "countersign/appio/node";
import { encodeDigits } from "./app/digits.ts";
import { decodeModel, evaluate } from "./app/softmax.ts";
import { dealDigits } from "./partitions.ts";
import { countersign, type Event, Processes, textOf } from "./processes.ts";
import { type Decision, formatDecisions, parseRound, percent, startProgress } from "./report.ts";

/** Digits that each node owns: shares as uneven as life's. What is left of the 10,000 is held back. */
const shares = [4_200, 2_200, 1_600];
const rounds = Number(process.argv[2] ?? 10);
/** What the trained model must reach on digits that no node ever saw. */
const requiredAccuracy = 0.85;
/** Poll intervals of all loops, in milliseconds; Flower's are 500 to 3000. */
const pollMs = "100";
const jobTimeoutMs = 300_000;

async function main(directory: string, processes: Processes): Promise<void> {
  const startedAt = performance.now();
  const { nodes, heldBack } = dealDigits(shares);
  console.log(
    `MNIST: ${shares.join(" + ")} digits on ${nodes.length} nodes, ${heldBack.labels.length} held back.`,
  );
  console.log(`Poll intervals are shortened to ${pollMs} ms (Flower's: 500 to 3000 ms).`);

  const tokenFile = join(directory, "operator-token");
  const { serverAppIoUrl, fleetUrl, controlUrl } = await startSuperLink(
    processes,
    directory,
    tokenFile,
  );
  const witnessFile = join(directory, "witness.json");
  await startServerAppLauncher(processes, serverAppIoUrl, witnessFile);
  await Promise.all(
    nodes.map(async (digits, index) => {
      const partition = join(directory, `node-${index + 1}.bin`);
      await writeFile(partition, encodeDigits(digits));
      await startNode(processes, `node ${index + 1}`, fleetUrl, partition);
    }),
  );

  const bundle = join(directory, "app.tgz");
  await writeFile(bundle, await packBundle(fileURLToPath(new URL("app", import.meta.url))));
  const operator = ["--superlink", controlUrl, "--operator-token-file", tokenFile];
  const modelFile = join(directory, "model.bin");
  const [started] = await processes.run("run", [
    ...["run", bundle, "--json", ...operator],
    ...["--run-config", `num-rounds=${rounds}`, "--run-config", `model-file=${modelFile}`],
  ]);
  const runId = firstRunId(started);
  console.log(`Run ${runId} was created after ${seconds(startedAt)}.`);

  await followRun(processes, runId, operator);
  const [run] = await processes.run("ls", ["ls", runId, "--json", ...operator]);
  if (run?.subStatus !== "completed")
    throw new Error(`The run has not completed: ${JSON.stringify(run)}`);
  await processes.find("superexec serverapp").event(({ kind }) => kind === "exited");

  const decisions = await processes.run("decisions", ["decisions", "--json", ...operator]);
  await processes.stop();
  const counts = decisions.filter(({ kind }) => kind === "count");
  printDecisions("SuperLink", counts.map(toDecision));
  for (const index of nodes.keys()) {
    const name = `node ${index + 1}`;
    printDecisions(`SuperNode ${index + 1}`, countersOf(processes.find(name).events));
  }

  const witness: { before: string; after: string } = JSON.parse(
    await readFile(witnessFile, "utf8"),
  );
  console.log(`\nThe run's token, presented to ServerAppIo.SendAppHeartbeat:`);
  console.log(`  before the app started:  ${witness.before}`);
  console.log(`  after the run finished:  ${witness.after}`);
  if (
    witness.before !== "accepted" ||
    witness.after !== 'Unauthenticated "Authentication failed."'
  ) {
    throw new Error("The token was not answered as it should be.");
  }

  const { accuracy } = evaluate(decodeModel(await readFile(modelFile)), heldBack);
  console.log(
    `\nTest accuracy on the ${heldBack.labels.length} digits held back: ${percent(accuracy)} (required: ${percent(requiredAccuracy)}), after ${seconds(startedAt)}.`,
  );
  if (!(accuracy >= requiredAccuracy)) throw new Error("The model is not accurate enough.");
}

async function startSuperLink(
  processes: Processes,
  directory: string,
  tokenFile: string,
): Promise<{ serverAppIoUrl: string; fleetUrl: string; controlUrl: string }> {
  const ready = await processes.start(
    "superlink",
    ...["superlink", "--watch-stdin", "--isolation", "process"],
    ...["--port", "0", "--fleet-port", "0", "--control-port", "0"],
    ...["--database", join(directory, "superlink.sqlite"), "--operator-token-file", tokenFile],
    ...["--log-poll-ms", pollMs],
  );
  return {
    serverAppIoUrl: textOf(ready, "serverAppIoUrl"),
    fleetUrl: textOf(ready, "fleetUrl"),
    controlUrl: textOf(ready, "controlUrl"),
  };
}

/** Starts the SuperExec that launches ServerApps, with a witness of what becomes of the run's token. */
async function startServerAppLauncher(
  processes: Processes,
  serverAppIoUrl: string,
  witnessFile: string,
): Promise<void> {
  const witness = fileURLToPath(new URL("witness.ts", import.meta.url));
  await processes.start(
    "superexec serverapp",
    ...["superexec", "serverapp", "--watch-stdin", "--appio", serverAppIoUrl],
    ...["--poll-interval-ms", pollMs, "--reply-poll-ms", pollMs, "--object-poll-ms", pollMs],
    ...["--", process.execPath, ...process.execArgv, witness, witnessFile, ...countersign, "app"],
  );
}

async function startNode(
  processes: Processes,
  name: string,
  fleetUrl: string,
  partition: string,
): Promise<void> {
  const ready = await processes.start(
    name,
    ...["supernode", "--watch-stdin", "--isolation", "process", "--port", "0"],
    ...["--superlink", fleetUrl, "--poll-interval-ms", pollMs],
    ...["--reply-poll-ms", pollMs, "--object-poll-ms", pollMs],
    ...["--node-config", `partition=${partition}`],
  );
  await processes.start(
    `superexec of ${name}`,
    ...["superexec", "clientapp", "--watch-stdin", "--poll-interval-ms", pollMs],
    ...["--appio", textOf(ready, "clientAppIoUrl")],
  );
}

/** Shows the rounds of a run as its log tells them, until it has finished. */
async function followRun(
  processes: Processes,
  runId: string,
  operator: readonly string[],
): Promise<void> {
  const progress = startProgress(rounds);
  let rest = "";
  const onEvent = ({ log }: Event): void => {
    if (typeof log !== "string") return;
    const lines = (rest + log).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      const round = parseRound(line);
      if (round === undefined) console.error(line);
      else progress.show(round);
    }
  };
  try {
    const followed = processes.run("log", ["log", runId, "-f", "--json", ...operator], onEvent);
    await Promise.race([followed, processes.failure]);
  } finally {
    progress.stop();
  }
}

function firstRunId(started: Event | undefined): string {
  const [runId] = Array.isArray(started?.runIds) ? started.runIds : [];
  if (typeof runId !== "string") throw new Error(`No run was created: ${JSON.stringify(started)}`);
  return runId;
}

function countersOf(events: readonly Event[]): Decision[] {
  const counters = events.find(({ kind }) => kind === "decisions")?.counters;
  return Array.isArray(counters) ? counters.map(toDecision) : [];
}

function toDecision(event: Event): Decision {
  return {
    service: textOf(event, "service"),
    method: textOf(event, "method"),
    allowed: BigInt(String(event.allowed)),
    refused: BigInt(String(event.refused)),
  };
}

function printDecisions(where: string, decisions: readonly Decision[]): void {
  console.log(`\nCalls to ${where}:\n${formatDecisions(decisions)}`);
}

function seconds(since: number): string {
  return `${((performance.now() - since) / 1000).toFixed(1)} s`;
}

const stopping = new AbortController();
const stop = (): void => stopping.abort(new Error("The job was stopped."));
process.once("SIGINT", stop).once("SIGTERM", stop);
const timer = setTimeout(() => stopping.abort(new Error("The job took too long.")), jobTimeoutMs);
const directory = await mkdtemp(join(tmpdir(), "countersign-mnist-"));
const processes = new Processes(stopping.signal);
const stopped = new Promise<never>((_, reject) => {
  stopping.signal.addEventListener("abort", () => reject(stopping.signal.reason), { once: true });
});
try {
  await Promise.race([main(directory, processes), processes.failure, stopped]);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  if (!stopping.signal.aborted) console.error(processes.errors());
  process.exitCode = 1;
} finally {
  clearTimeout(timer);
  stopped.catch(() => {});
  await processes.stop();
  await rm(directory, { recursive: true, force: true });
}
