import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, it } from "vitest";

const folder = fileURLToPath(new URL("../../examples/quickstart/", import.meta.url));
const fromSource = ["-C", "countersign-source"];

it("the quick start's server serves its client, and refuses what the token does not prove", async () => {
  const server = spawn(process.execPath, [...fromSource, `${folder}server.ts`], {
    env: { ...process.env, PORT: "0" },
    stdio: ["ignore", "pipe", "inherit"],
  });
  try {
    const lines = createInterface({ input: server.stdout })[Symbol.asyncIterator]();
    const { value: serving } = await lines.next();
    const [, url = ""] =
      /^Serving gRPC, gRPC-web and Connect on (http:\/\/127\.0\.0\.1:\d+)$/.exec(serving ?? "") ??
      [];
    const client = [...fromSource, `${folder}client.ts`, url];
    const { stdout, stderr } = await promisify(execFile)(process.execPath, client);
    expect(stderr).toBe("");
    expect(stdout.trimEnd().split("\n")).toEqual([
      "letters in mailbox 7: 1",
      "ConnectError: [permission_denied] Permission denied.",
    ]);
    const { value: refused } = await lines.next();
    expect(refused).toBe(
      "refused CountLetters: countersign.example.v1.CountLettersRequest.mailbox_id is not what the credential proves",
    );
  } finally {
    server.kill();
    await once(server, "close");
  }
}, 60_000);
