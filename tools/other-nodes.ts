import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "./packed-consumer.ts";

/** The versions of Node that the package is run on, beside this one: the oldest that it allows, and the newest. */
export const otherNodes = ["22.13.0", "26.10.0"] as const;

/**
 * Installs another Node and returns the path of its program; undefined where
 * npm has none for this platform. They are the packages that tools/node
 * depends on, in other versions.
 */
export function installNode(work: string, version: string): string | undefined {
  const manifest: { readonly optionalDependencies: Readonly<Record<string, string>> } = JSON.parse(
    readFileSync(join(root, "tools/node/package.json"), "utf8"),
  );
  const platform = process.platform === "win32" ? "win" : process.platform;
  const name = `node-${platform}-${process.arch}`;
  if (!Object.hasOwn(manifest.optionalDependencies, name)) {
    return undefined;
  }
  const directory = join(work, `node-${version}`);
  mkdirSync(directory);
  writeFileSync(join(directory, "package.json"), '{ "private": true }');
  execFileSync("npm", ["install", "--no-audit", "--no-fund", `${name}@${version}`], {
    cwd: directory,
    stdio: ["ignore", "pipe", "pipe"],
  });
  return join(directory, "node_modules", name, "bin/node");
}
