/**
 * Writes dist/: what tsc makes of src/ and gen/, with the commands executable.
 *
 *   npm run build
 */
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, readFileSync, rmSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../", import.meta.url));

/** What this script reads of package.json. */
interface Manifest {
  readonly bin: Readonly<Record<string, string>>;
  readonly exports: Readonly<Record<string, string | Readonly<Record<string, string>>>>;
}

const manifest: Manifest = JSON.parse(readFileSync(`${root}package.json`, "utf8"));

// A file whose source is gone must not be packed.
rmSync(`${root}dist`, { recursive: true, force: true });
const { status } = spawnSync(
  process.execPath,
  ["node_modules/typescript/bin/tsc", "-p", "tsconfig.build.json"],
  { cwd: root, stdio: "inherit" },
);
if (status !== 0) {
  process.exit(1);
}
for (const command of Object.values(manifest.bin)) {
  assertBuilt(command);
  if (!readFileSync(root + command, "utf8").startsWith("#!/usr/bin/env node\n")) {
    throw new Error(`${command} does not begin with "#!/usr/bin/env node"`);
  }
  chmodSync(root + command, 0o755);
}
for (const target of Object.values(manifest.exports)) {
  for (const file of typeof target === "string" ? [target] : Object.values(target)) {
    if (!file.includes("*")) {
      assertBuilt(file);
    }
  }
}

function assertBuilt(file: string): void {
  if (!existsSync(root + file)) {
    throw new Error(`package.json names ${file}, which the build did not write`);
  }
}
