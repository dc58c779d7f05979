import { chmod, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { readOperatorToken, readOrCreateOperatorToken } from "../../src/cli/operator-token.ts";

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "countersign-token-test-"));
});
afterAll(() => rm(directory, { recursive: true, force: true }));

async function writeSecret(name: string, content: string, mode = 0o600): Promise<string> {
  const file = join(directory, name);
  await writeFile(file, content);
  await chmod(file, mode);
  return file;
}

test("makes a token in a file that only its owner can read, and finds it again", async () => {
  const file = join(directory, "new", "token");
  const made = await readOrCreateOperatorToken({ file, env: {} });
  expect(made.token).toMatch(/^[0-9a-f]{64}$/);
  expect(made.file).toBe(file);
  expect((await stat(file)).mode & 0o777).toBe(0o600);
  expect(await readFile(file, "utf8")).toBe(`${made.token}\n`);
  expect(await readOrCreateOperatorToken({ file, env: {} })).toEqual(made);
  expect(await readOperatorToken({ file, env: {} })).toBe(made.token);
});

test("takes the token from the environment, unless the command line names a file", async () => {
  const file = await writeSecret("named", "from-file\n");
  const env = { COUNTERSIGN_OPERATOR_TOKEN: "from-environment" };
  expect(await readOperatorToken({ env })).toBe("from-environment");
  expect(await readOperatorToken({ env, file })).toBe("from-file");
  expect(await readOperatorToken({ env: { COUNTERSIGN_OPERATOR_TOKEN_FILE: file } })).toBe(
    "from-file",
  );
});

test("refuses a file that others can read", async () => {
  const file = await writeSecret("open", "secret-of-open", 0o644);
  await expect(readOperatorToken({ file, env: {} })).rejects.toThrow(
    `Others can read the secret in ${file}: run chmod 600 on it.`,
  );
});

test("says where it looked when there is no token", async () => {
  const file = join(directory, "absent");
  await expect(readOperatorToken({ file, env: {} })).rejects.toThrow(
    `There is no operator token in ${file}`,
  );
});

test("never shows a malformed token", async () => {
  const file = await writeSecret("malformed", "se cret, of mine");
  const failure: unknown = await readOperatorToken({ file, env: {} }).catch((error) => error);
  expect(String(failure)).toContain("holds no token");
  expect(String(failure)).not.toContain("cret");
});
