import { execFile } from "node:child_process";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { readBundle } from "./bundle.ts";

const run = promisify(execFile);

/**
 * Packs the app in `directory` with `npm pack` and returns the bundle's bytes, checked by `readBundle`.
 *
 * npm decides which files belong to it ("files" of package.json, .npmignore). No script of the package runs. The same
 * files give the same bytes, and so the same id, with one version of npm; another version may compress differently.
 *
 * @throws Error when npm is missing or fails, or when the result is no app bundle
 */
export async function packBundle(directory: string): Promise<Uint8Array> {
  const destination = await mkdtemp(join(tmpdir(), "countersign-pack-"));
  try {
    await npm(
      ["pack", "--ignore-scripts", "--silent", "--pack-destination", destination],
      resolve(directory),
    );
    const [archive] = await readdir(destination);
    if (archive === undefined) throw new Error(`npm pack made no archive of ${directory}.`);
    const bytes = await readFile(join(destination, archive));
    await readBundle(bytes);
    return bytes;
  } finally {
    await rm(destination, { recursive: true, force: true });
  }
}

async function npm(parameters: readonly string[], cwd: string): Promise<void> {
  // npm would leave a compile cache among the temporary files.
  const env = { ...process.env, NODE_DISABLE_COMPILE_CACHE: "1" };
  // npm names its own script to what it runs; without it, only a shell finds npm.cmd on Windows.
  const script = process.env.npm_execpath;
  if (script !== undefined && /npm-cli\.c?js$/.test(script)) {
    await run(process.execPath, [script, ...parameters], { cwd, env });
  } else {
    await run("npm", [...parameters], { cwd, env, shell: process.platform === "win32" });
  }
}
