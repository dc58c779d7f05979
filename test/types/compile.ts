import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const run = promisify(execFile);

/** The compilers that the package supports, as npm names them in this repository. */
export const compilers = {
  "5.9": "typescript-5.9",
  "6.0": "typescript-6.0",
  "7.0": "typescript",
} as const;

export type CompilerVersion = keyof typeof compilers;

export const root = fileURLToPath(new URL("../../", import.meta.url));

/** Runs tsc in a folder and returns what it printed; empty when it found nothing. */
export async function compile(
  version: CompilerVersion,
  folder: string,
  args: readonly string[],
): Promise<string> {
  const tsc = `${root}node_modules/${compilers[version]}/bin/tsc`;
  try {
    const { stdout } = await run(process.execPath, [tsc, "--pretty", "false", ...args], {
      cwd: folder,
    });
    return stdout;
  } catch (error) {
    if (error instanceof Error && "stdout" in error && typeof error.stdout === "string") {
      return error.stdout;
    }
    throw error;
  }
}
