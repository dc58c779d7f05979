import { createHash, randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, rename, rm, stat, symlink, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import type { AppBundle } from "./bundle.ts";
import type { PluginType } from "./plugin-type.ts";

/** An app bundle on disk, ready to be imported. */
export interface InstalledBundle {
  readonly bundle: AppBundle;
  /** Directory that holds the bundle's files; absolute. */
  readonly root: string;
}

/**
 * Installs a bundle below `directory` and returns where.
 *
 * The bundle's files go to `<directory>/<id>-<environment>/app`, and beside them `node_modules` gets one link per
 * package that the bundle depends on, plus `countersign` itself: a bundle brings its own code only (as Flower's do),
 * and its packages come from the environment that this process runs in, so that app and runtime share one copy.
 * A package is looked for where this package would find it, then where a module in the working directory would.
 *
 * Safe to call again and from several processes at once: the directory appears by one rename, complete or not at all.
 *
 * @throws Error when the bundle depends on a package that the environment lacks
 */
export async function installBundle(
  bundle: AppBundle,
  directory: string,
): Promise<InstalledBundle> {
  const links = new Map<string, string>();
  for (const name of ["countersign", ...bundle.dependencies])
    links.set(name, findPackage(name, bundle));
  const place = join(directory, `${bundle.id}-${environmentId(links)}`);
  const installed = { bundle, root: join(place, "app") };
  if (await isDirectory(place)) return installed;

  const draft = join(directory, `.${bundle.id}.${randomUUID()}`);
  try {
    for (const [path, content] of bundle.files) await write(join(draft, "app", path), content);
    for (const [name, target] of links) await link(target, join(draft, "node_modules", name));
    await rename(draft, place);
  } catch (error) {
    await rm(draft, { recursive: true, force: true });
    // Another process may have been faster; its directory has the same content, for the name is its digest.
    if (!(await isDirectory(place))) throw error;
  }
  return installed;
}

/**
 * Imports an installed app and returns its module's default export, which the app runtime then checks.
 *
 * @throws Error when the bundle has no such app or its module no default export; whatever the module throws itself
 */
export async function loadEntryPoint(
  installed: InstalledBundle,
  pluginType: PluginType,
): Promise<unknown> {
  const { bundle } = installed;
  const module: object = await import(entryPointUrl(installed, pluginType));
  if (!("default" in module)) {
    const path = bundle.entryPoints[pluginType];
    throw new Error(`The module ${path} of the app bundle ${bundle.name} has no default export.`);
  }
  return module.default;
}

/**
 * The URL of an installed app's module, for those that import it elsewhere.
 *
 * @throws Error when the bundle has no such app
 */
export function entryPointUrl({ bundle, root }: InstalledBundle, pluginType: PluginType): string {
  const path = bundle.entryPoints[pluginType];
  if (path === undefined) {
    throw new Error(`The app bundle ${bundle.name} ${bundle.version} has no ${pluginType}.`);
  }
  return pathToFileURL(join(root, path)).href;
}

function findPackage(name: string, bundle: AppBundle): string {
  if (name === "countersign") return ownRoot();
  const places = [import.meta.url, pathToFileURL(join(process.cwd(), "index.js")).href];
  for (const place of places) {
    for (const folder of createRequire(place).resolve.paths(name) ?? []) {
      if (existsSync(join(folder, name, "package.json"))) return join(folder, name);
    }
  }
  throw new Error(
    `The app bundle ${bundle.name} ${bundle.version} depends on the package ${JSON.stringify(name)}, ` +
      "which is not installed beside countersign: bundles do not carry their dependencies.",
  );
}

/** The directory of this package, whether it runs from its sources or from dist. */
function ownRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, "package.json"))) {
    const parent = dirname(folder);
    if (parent === folder) throw new Error("The package.json of countersign was not found.");
    folder = parent;
  }
  return folder;
}

/** Two environments that resolve the packages differently must not share one installed copy. */
function environmentId(links: ReadonlyMap<string, string>): string {
  const digest = createHash("sha256").update(JSON.stringify([...links]));
  return digest.digest("hex").slice(0, 16);
}

async function write(path: string, content: Uint8Array): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, content, { flag: "wx" });
}

async function link(target: string, path: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  // A junction needs no privilege on Windows; elsewhere the type is ignored.
  await symlink(target, path, "junction");
}

async function isDirectory(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch {
    return false;
  }
}
