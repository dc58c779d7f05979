import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { access, readFile, rm, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const run = promisify(execFile);
const cache = join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "countersign-interop");
const requirements = fileURLToPath(new URL("requirements.txt", import.meta.url));

/** The Python that makes the environment. */
export const python = process.env.PYTHON ?? "python3";

/**
 * Makes a virtual environment with the pinned Flower, once for each list of requirements and
 * Python. It lives in the user's cache, so that a fresh `npm ci` does not cost a fresh one.
 *
 * @returns the directory of its commands; undefined where there is no Python
 */
export async function flowerEnvironment(): Promise<string | undefined> {
  const version = await run(python, ["--version"]).then(
    ({ stdout }) => stdout.trim(),
    () => undefined,
  );
  if (version === undefined) return undefined;
  const list = await readFile(requirements);
  const id = createHash("sha256").update(version).update(list).digest("hex").slice(0, 16);
  const environment = join(cache, id);
  const commands = join(environment, "bin");
  const marker = join(environment, "complete");
  if (!(await isThere(marker))) {
    process.stderr.write(`Installing Flower for ${version} into ${environment}\n`);
    await rm(environment, { recursive: true, force: true });
    await run(python, ["-m", "venv", environment]);
    const pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    await run(join(commands, "python"), [...pip, "--requirement", requirements]);
    // Last, so that an installation that was interrupted is made anew.
    await writeFile(marker, `${version}\n`);
  }
  return commands;
}

function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
