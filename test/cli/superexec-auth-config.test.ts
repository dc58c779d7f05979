import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readSuperExecAuthConfig } from "../../src/cli/superexec-auth-config.ts";

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "countersign-config-test-"));
});
afterAll(() => rm(directory, { recursive: true, force: true }));

async function read(text: string) {
  const file = join(directory, "config");
  await writeFile(file, text);
  return readSuperExecAuthConfig(file);
}

describe("the file that says who may launch apps", () => {
  test("lists keys for all kinds of app, or for some", async () => {
    const config = `
enabled: true
timestamp_tolerance_sec: 120
public_keys:
  - ecdsa-sha2-nistp384 AAAA me@here
  - public_key: ecdsa-sha2-nistp256 BBBB
    allowed_plugins: [serverapp, simulation]
  - public_key: |
      -----BEGIN PUBLIC KEY-----
      CCCC
      -----END PUBLIC KEY-----
`;
    expect(await read(config)).toEqual({
      clockToleranceSeconds: 120,
      publicKeys: [
        { publicKey: "ecdsa-sha2-nistp384 AAAA me@here" },
        {
          publicKey: "ecdsa-sha2-nistp256 BBBB",
          allowedPlugins: ["serverapp", "simulation"],
        },
        { publicKey: "-----BEGIN PUBLIC KEY-----\nCCCC\n-----END PUBLIC KEY-----\n" },
      ],
    });
  });

  test("is enabled, with the default tolerance, unless it says otherwise; JSON will do", async () => {
    expect(await read('{"public_keys": ["AAAA"]}')).toEqual({
      publicKeys: [{ publicKey: "AAAA" }],
    });
    expect(await read("enabled: false\npublic_keys: []")).toBeUndefined();
  });

  test.each([
    ["", "expected settings such as public_keys"],
    ["- AAAA", "expected settings such as public_keys"],
    ["public_keys: []", "public_keys must list at least one key"],
    ["enabled: true", "public_keys must list at least one key"],
    ["public_keys: AAAA", "public_keys must list at least one key"],
    ["public_keys: [1]", "key 1 of public_keys must be a key, or public_key with allowed_plugins"],
    ["public_keys: [AAAA, {key: BBBB}]", "key 2 of public_keys must be a key"],
    ["public_keys: [{public_key: A, more: B}]", "key 1 of public_keys must be a key"],
    ["public_keys: [{public_key: A, allowed_plugins: [superlink]}]", 'no plugin "superlink"'],
    ["public_keys: [{public_key: A, allowed_plugins: []}]", "allowed_plugins must list some of"],
    ["public_keys: [A]\nenabled: yes", "enabled must be true or false"],
    ["public_keys: [A]\ntimestamp_tolerance_sec: 0", "must be a positive whole number"],
    ["public_keys: [A]\ntimestamp_tolerance_sec: 1.5", "must be a positive whole number"],
    ["public_keys: [A]\ntolerance: 5", 'there is no setting "tolerance"'],
    ["public_keys: [A", "is neither YAML nor JSON"],
    ["a: &a [*a, *a]\nb: *c", "is neither YAML nor JSON"],
  ])("%j is refused", async (text, message) => {
    await expect(read(text)).rejects.toThrow(message);
    await expect(read(text)).rejects.toThrow(directory);
  });

  test("must be there", async () => {
    const file = join(directory, "absent");
    await expect(readSuperExecAuthConfig(file)).rejects.toThrow(`${file} cannot be read.`);
  });
});
