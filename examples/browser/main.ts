/**
 * A federated run whose ClientApp is a browser tab: starts a SuperLink and a SuperNode, serves the page, and runs a
 * ServerApp that waits for the tab.
 *
 *   node -C countersign-source examples/browser/main.ts [--rounds 10] [--page-port 8080] [--node-port 9094]
 */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { packBundle } from "countersign/appio/node";
import { type Event, Processes, textOf } from "../mnist/processes.ts";
import { buildPage, type PageServer, servePage } from "./page-server.ts";

/** Poll intervals of all loops but the page's, in milliseconds; Flower's are 500 to 3000. */
const pollMs = "100";

const { values: options } = parseArgs({
  options: {
    rounds: { type: "string", default: "10" },
    "page-port": { type: "string", default: "8080" },
    "node-port": { type: "string", default: "9094" },
  },
});

async function main(directory: string, processes: Processes, page: PageServer): Promise<void> {
  const tokenFile = join(directory, "operator-token");
  const { fleetUrl, controlUrl } = await processes.start(
    "superlink",
    ...["superlink", "--watch-stdin", "--database", ":memory:", "--operator-token-file", tokenFile],
    ...["--port", "0", "--fleet-port", "0", "--control-port", "0", "--log-poll-ms", pollMs],
    ...["--superexec-poll-ms", pollMs, "--reply-poll-ms", pollMs, "--object-poll-ms", pollMs],
  );
  // No SuperExec launches ClientApps on this node: the page does.
  const node = await processes.start(
    "supernode",
    ...["supernode", "--watch-stdin", "--isolation", "process", "--port", options["node-port"]],
    ...["--superlink", String(fleetUrl), "--browser-origin", page.origin],
    ...["--poll-interval-ms", pollMs, "--reply-poll-ms", pollMs, "--object-poll-ms", pollMs],
  );

  const bundle = join(directory, "app.tgz");
  await writeFile(bundle, await packBundle(fileURLToPath(new URL("app", import.meta.url))));
  const operator = ["--superlink", String(controlUrl), "--operator-token-file", tokenFile];
  const [started] = await processes.run("run", [
    ...["run", bundle, "--json", "--run-config", `num-rounds=${options.rounds}`, ...operator],
  ]);
  const [runId] = Array.isArray(started?.runIds) ? started.runIds : [];
  if (typeof runId !== "string") throw new Error(`No run was created: ${JSON.stringify(started)}`);

  const nodeUrl = textOf(node, "clientAppIoUrl");
  console.log(`Run ${runId} waits for a browser tab. Open this page and press Join:`);
  console.log(`  ${page.origin}/?node=${encodeURIComponent(nodeUrl)}`);
  await Promise.race([followRun(processes, runId, operator), processes.failure]);
  const [run] = await processes.run("ls", ["ls", runId, "--json", ...operator]);
  if (run?.subStatus !== "completed") {
    throw new Error(`The run has not completed: ${JSON.stringify(run)}`);
  }
  console.log("The run has completed: the tab answered every round.");
}

/** Prints the rounds of a run as its log tells them, until it has finished. */
async function followRun(
  processes: Processes,
  runId: string,
  operator: readonly string[],
): Promise<void> {
  let rest = "";
  await processes.run("log", ["log", runId, "-f", "--json", ...operator], ({ log }) => {
    if (typeof log !== "string") return;
    const lines = (rest + log).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) console.log(describeRound(line));
  });
}

function describeRound(line: string): string {
  try {
    const { round, rounds, slope, intercept, examples }: Event = JSON.parse(line);
    return `Round ${round} of ${rounds}: y = ${fixed(slope)} x + ${fixed(intercept)}, from ${examples} measurements`;
  } catch {
    // Whatever else the ServerApp has written.
    return line;
  }
}

function fixed(value: unknown): string {
  return Number(value).toFixed(3);
}

const stopping = new AbortController();
const stopped = new Promise<void>((resolve) => {
  stopping.signal.addEventListener("abort", () => resolve(), { once: true });
});
const stop = (): void => stopping.abort();
process.once("SIGINT", stop).once("SIGTERM", stop);
const directory = await mkdtemp(join(tmpdir(), "countersign-browser-"));
const processes = new Processes(stopping.signal);
let page: PageServer | undefined;
try {
  page = await servePage(await buildPage(), Number(options["page-port"]));
  await Promise.race([main(directory, processes, page), stopped]);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
} finally {
  await processes.stop();
  await page?.close();
  await rm(directory, { recursive: true, force: true });
}
