/**
 * Stands between the SuperExec and the ServerApp's process to show what becomes of the run's token: presents it before
 * the app starts and after it has finished. The SuperExec starts this in place of `countersign app`, so it gets the
 * token as an app does, through stdin; it keeps it to itself and writes down only how it was answered.
 *
 * Usage: witness.ts <file to write> <command of the app...>
 */
import { writeFile } from "node:fs/promises";
import { Code, ConnectError } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { createAuthenticatedClient, transportTo } from "countersign";
import { serverAppIoPolicy } from "countersign/appio";
import { readLaunchInput, spawnWithToken } from "countersign/appio/node";

const [file = "", command = "", ...args] = process.argv.slice(2);
const baseUrl = args[args.indexOf("--address") + 1] ?? "";
const { token, parentGone } = await readLaunchInput(process.stdin);
const transport = transportTo(createGrpcTransport, { baseUrl });
const client = createAuthenticatedClient(serverAppIoPolicy, transport, { appToken: token });

async function present(): Promise<string> {
  try {
    const { success } = await client.sendAppHeartbeat({ token });
    return success ? "accepted" : "unknown";
  } catch (error) {
    const { code, rawMessage } = ConnectError.from(error);
    return `${Code[code]} "${rawMessage}"`;
  }
}

const before = await present();
const app = spawnWithToken({
  token,
  command: { command, args, env: process.env },
  onLine: ({ stream, text }) => process[stream].write(`${text}\n`),
  // Shorter than this process has itself: whose launcher ends first leaves the app alone.
  stopGraceMs: 3_000,
});
// The app must be gone before this process is: the SuperExec then removes the files it works with.
const stop = (): void => void app.stop();
parentGone.addEventListener("abort", stop, { once: true });
process.on("SIGINT", stop).on("SIGTERM", stop);
const { code } = await app.exited;
await writeFile(file, JSON.stringify({ before, after: await present() }));
process.exit(code ?? 1);
