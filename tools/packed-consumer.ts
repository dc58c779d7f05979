import { type ExecFileSyncOptions, execFileSync } from "node:child_process";
import { globSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** The repository, with a slash at the end. */
export const root: string = fileURLToPath(new URL("../", import.meta.url));

/** The compilers that the package supports, as npm names them in this repository. */
export const compilers = ["typescript-5.9", "typescript-6.0", "typescript"] as const;

/** The project of a user who installs the packed package. */
export class PackedConsumer {
  /** The project's directory. */
  readonly directory: string;
  /** The package as npm packs it. */
  readonly tarball: string;

  /**
   * Packs the built package.
   *
   * @param work - an empty directory, in which the project gets its own.
   */
  constructor(work: string) {
    this.directory = join(work, "consumer");
    mkdirSync(this.directory);
    execFileSync("npm", ["pack", "--silent", "--pack-destination", work], { cwd: root });
    const [tarball = ""] = globSync(join(work, "*.tgz"));
    this.tarball = tarball;
    this.write("package.json", '{ "private": true, "type": "module" }');
  }

  /** Writes a file of the project. */
  write(path: string, content: string): void {
    writeFileSync(join(this.directory, path), content);
  }

  /** Installs packages by name, version or tarball. */
  install(...packages: readonly string[]): void {
    this.run("npm", ["install", "--no-audit", "--no-fund", ...packages]);
  }

  /** Runs a program in the project and returns what it printed. */
  run(command: string, args: readonly string[], options: ExecFileSyncOptions = {}): string {
    const all: ExecFileSyncOptions = {
      cwd: this.directory,
      stdio: ["ignore", "pipe", "pipe"],
      ...options,
    };
    return String(execFileSync(command, args, all));
  }

  /** Runs a script on this Node. */
  node(...args: readonly string[]): string {
    return this.run(process.execPath, args);
  }
}

/** A package in the version that this repository has, so that the consumer gets the same. */
export function installed(name: string): string {
  const manifest: { name: string; version: string } = JSON.parse(
    readFileSync(join(root, "node_modules", name, "package.json"), "utf8"),
  );
  const { version } = manifest;
  return manifest.name === name ? `${name}@${version}` : `${name}@npm:${manifest.name}@${version}`;
}

/** The version that this repository has of a package. */
export function versionOf(name: string): string {
  return installed(name).replace(/.*@/, "");
}
