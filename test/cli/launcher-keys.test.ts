import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Command } from "commander";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { type LauncherKeyOptions, readLauncherKeys } from "../../src/cli/launcher-keys.ts";
import { createProgram } from "../../src/cli/program.ts";

let directory: string;
let enabled: string;
let disabled: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "countersign-launcher-test-"));
  [enabled, disabled] = [join(directory, "enabled"), join(directory, "disabled")];
  await writeFile(enabled, "public_keys: [AAAA]");
  await writeFile(disabled, "enabled: false");
});
afterAll(() => rm(directory, { recursive: true, force: true }));

const superExecAuth = { publicKeys: [{ publicKey: "AAAA" }] };

/** What the options come to, and what they print. */
async function read(options: LauncherKeyOptions) {
  const printed: string[] = [];
  const writeErr = (text: string) => printed.push(text);
  const command = new Command("superlink").exitOverride().configureOutput({ writeErr });
  const stderr = vi.spyOn(process.stderr, "write").mockImplementation((text) => {
    printed.push(String(text));
    return true;
  });
  try {
    const keys = await readLauncherKeys(options, command).catch((error: unknown) => error);
    return { keys, printed: printed.join("") };
  } finally {
    stderr.mockRestore();
  }
}

test("nobody has to sign unless a configuration says so", async () => {
  expect(await read({ isolation: "subprocess" })).toEqual({
    keys: { parameters: [] },
    printed: "",
  });
});

test("the SuperExec that is started gets the path of its key", async () => {
  const options = { superexecAuthConfig: enabled, authSuperexecPrivateKey: "key.pem" };
  expect(await read({ isolation: "subprocess", ...options })).toEqual({
    keys: { superExecAuth, parameters: ["--auth-superexec-private-key", "key.pem"] },
    printed: "",
  });
});

test("a SuperExec that is started elsewhere has its key there", async () => {
  const options = { isolation: "process", superexecAuthConfig: enabled } as const;
  const keys = { superExecAuth, parameters: [] };
  expect(await read(options)).toEqual({ keys, printed: "" });
  expect(await read({ ...options, authSuperexecPrivateKey: "key.pem" })).toEqual({
    keys,
    printed:
      "countersign: --auth-superexec-private-key is not used: the SuperExec is started elsewhere.\n",
  });
});

test("a key for a configuration that is not enabled is not used", async () => {
  const options = { superexecAuthConfig: disabled, authSuperexecPrivateKey: "key.pem" };
  expect(await read({ isolation: "subprocess", ...options })).toEqual({
    keys: { parameters: [] },
    printed: `countersign: --auth-superexec-private-key is not used: ${disabled} is not enabled.\n`,
  });
});

test.each<[string, () => LauncherKeyOptions, string]>([
  [
    "a key without a configuration",
    () => ({ isolation: "subprocess", authSuperexecPrivateKey: "key.pem" }),
    "--auth-superexec-private-key needs --superexec-auth-config",
  ],
  [
    "a configuration without a key for the SuperExec that is started",
    () => ({ isolation: "subprocess", superexecAuthConfig: enabled }),
    "--superexec-auth-config needs --auth-superexec-private-key, or --isolation process",
  ],
])("%s is a wrong command line", async (_name, options, message) => {
  const { keys, printed } = await read(options());
  expect(keys).toMatchObject({ exitCode: 2 });
  expect(printed).toBe(`error: ${message}\n`);
});

test("superlink and supernode have the options, and all three the key", () => {
  const commands = new Map(createProgram().commands.map((command) => [command.name(), command]));
  const options = (name: string) => commands.get(name)?.options.map(({ long }) => long) ?? [];
  for (const name of ["superlink", "supernode"]) {
    expect(options(name)).toContain("--superexec-auth-config");
  }
  for (const name of ["superlink", "supernode", "superexec"]) {
    expect(options(name)).toContain("--auth-superexec-private-key");
  }
});
