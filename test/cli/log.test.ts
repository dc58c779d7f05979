import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { createSuperLinkWorld, operator } from "../appio/superlink/world.ts";
import { start } from "./command-line.ts";

test("log -f goes on where it was when the SuperLink comes back", async () => {
  const directory = await mkdtemp(join(tmpdir(), "countersign-log-test-"));
  const tokenFile = join(directory, "operator-token");
  await writeFile(tokenFile, operator, { mode: 0o600 });
  const databasePath = join(directory, "state.sqlite");
  try {
    const first = await createSuperLinkWorld({ databasePath });
    const { runId, token, app } = await first.runningRun();
    await app.pushLogs({ logs: ["one\n"] });
    const { controlUrl } = first.link;
    const superLink = ["--superlink", controlUrl, "--operator-token-file", tokenFile];
    const { child, ended } = start(["log", String(runId), "-f", ...superLink]);
    const hasComplained = once(child.stderr ?? child, "data");
    await once(child.stdout ?? child, "data");
    await first.link.close();
    await hasComplained;

    const controlPort = Number(new URL(controlUrl).port);
    await using second = await createSuperLinkWorld({ databasePath, controlPort });
    await second.app(token).pushLogs({ logs: ["two\n"] });
    const runStatus = { status: "finished", subStatus: "completed" };
    await second.app(token).updateRunStatus({ runStatus });
    expect(await ended).toEqual({
      code: 0,
      stdout: "one\ntwo\n",
      stderr: `countersign: the SuperLink at ${controlUrl} cannot be reached; it is asked again\n`,
    });
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
});
