import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ChildLine } from "../../../src/appio/launch/child.ts";
import { findFlowerCommands, spawnFlowerApp } from "../../../src/appio/launch/flower-app.ts";
import type { AppType } from "../../../src/appio/launch/plugin-type.ts";
import { parseToken } from "../../../src/policy/token.ts";

const token = parseToken("0123456789abcdef".repeat(16));

/** Tells its arguments, the end of its stdin and SIGTERM, by which it ends as Flower's processes do. */
const standIn = `#!/bin/sh
echo "$0" "$@" | sed 's,.*/,,'
trap 'echo told to stop; exit 3' TERM
cat
echo stdin has ended
while :; do sleep 0.05; done
`;

let directory = "";
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "countersign-flower-app-"));
  for (const name of ["flwr-serverapp", "flwr-simulation"]) {
    await writeFile(join(directory, name), standIn, { mode: 0o755 });
  }
  await writeFile(join(directory, "flwr-clientapp"), standIn, { mode: 0o644 });
});
afterAll(() => rm(directory, { recursive: true }));

describe.skipIf(process.platform === "win32")("Flower's own app processes", () => {
  it.each<[AppType, string]>([
    ["serverapp", "flwr-serverapp"],
    ["simulation", "flwr-simulation"],
  ])("for a %s is %s with the arguments of Flower's SuperExec", async (appType, name) => {
    const lines: ChildLine[] = [];
    const ready = Promise.withResolvers<void>();
    const child = spawnFlowerApp({
      appType,
      address: "http://127.0.0.1:9091",
      token,
      commands: await findFlowerCommands("serverapp", directory),
      onLine: (line) => {
        lines.push(line);
        if (line.text === "stdin has ended") ready.resolve();
      },
    });
    await ready.promise;
    expect(lines[0]?.text).toBe(
      `${name} --insecure --serverappio-api-address 127.0.0.1:9091 --token [token] --parent-pid ${process.pid}`,
    );
    expect(await child.stop()).toEqual({ code: 3, signal: null });
    expect(lines.at(-1)?.text).toBe("told to stop");
    expect(JSON.stringify(lines)).not.toContain(token);
  });

  it("are found before anything is claimed, in the first directory that has them", async () => {
    const path = ["/nowhere", "", directory].join(delimiter);
    expect(await findFlowerCommands("serverapp", path)).toEqual(
      new Map([
        ["serverapp", join(directory, "flwr-serverapp")],
        ["simulation", join(directory, "flwr-simulation")],
      ]),
    );
    await expect(findFlowerCommands("clientapp", path)).rejects.toThrow(
      "Flower's command flwr-clientapp was not found: install the Python package flwr 1.29.",
    );
  });

  it("are not started where they would have to speak TLS, or are not known", () => {
    const options = { appType: "clientapp", token, commands: new Map(), onLine: () => {} } as const;
    expect(() => spawnFlowerApp({ ...options, address: "https://node.example:9094" })).toThrow(
      new TypeError(
        "Flower's app processes speak plaintext only, so not to https://node.example:9094",
      ),
    );
    expect(() => spawnFlowerApp({ ...options, address: "http://127.0.0.1:9094" })).toThrow(
      new TypeError('"commands" must have flwr-clientapp'),
    );
  });
});
