import { createHash } from "node:crypto";
import { parseArgs } from "node:util";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { transportTo } from "countersign";
import { runClientApp, runServerApp } from "countersign/appio";
import { readLaunchInput, runSimulation } from "countersign/appio/node";
import echoClientApp from "./echo-client-app.ts";
import echoServerApp from "./echo-server-app.ts";

// Runs one app of ours for the token that comes through stdin, as `countersign app` does, but
// whatever the run's bundle holds: a Flower App Bundle has Python in it, which cannot run here.
const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { address: { type: "string", default: "" } },
});
const input = await readLaunchInput(process.stdin);
const sessionManager = new Http2SessionManager(values.address);
const common = {
  transport: transportTo(createGrpcTransport, { baseUrl: values.address, sessionManager }),
  token: input.token,
  signal: input.parentGone,
  createSha256: () => createHash("sha256"),
  onLog: (line: string) => process.stderr.write(`${line}\n`),
};
// What Flower reads from the bundle's pyproject.toml.
const config = { "num-rounds": 2n, "min-nodes": 1n, greeting: "grüß dich", mode: "echo" };
const outcome = await run();
sessionManager.abort();
process.stderr.write(`ended: ${outcome.kind}\n`);
process.exit(outcome.exitCode >= 100 ? 1 : 0);

async function run() {
  switch (positionals[0]) {
    case "serverapp":
      return runServerApp({
        ...common,
        captureLog: captureStdout,
        loadApp: () => ({ app: echoServerApp, config }),
      });
    case "simulation":
      return runSimulation({
        ...common,
        captureLog: captureStdout,
        loadApps: () => ({
          serverApp: echoServerApp,
          clientAppUrl: new URL("echo-client-app.ts", import.meta.url).href,
          config,
        }),
      });
    case "clientapp":
      return runClientApp({ ...common, loadApp: () => ({ app: echoClientApp }) });
    default:
      throw new TypeError("expected the kind of app as the first argument");
  }
}

function captureStdout(upload: (text: string) => void): () => void {
  const { write } = process.stdout;
  process.stdout.write = (chunk: string | Uint8Array) => {
    upload(typeof chunk === "string" ? chunk : Buffer.from(chunk).toString("utf8"));
    return write.call(process.stdout, chunk);
  };
  return () => {
    process.stdout.write = write;
  };
}
