import { createHash } from "node:crypto";
import { type ConfigValues, flattenConfig } from "../runtime/config-values.ts";
import { unpackArchive } from "./bundle-archive.ts";
import type { PluginType } from "./plugin-type.ts";

/**
 * An app bundle (Flower's FAB), read and checked: what `npm pack` makes of an app, whose package.json says in its
 * field `countersign` where the apps are:
 *
 * ```json
 * { "name": "my-app", "version": "1.0.0", "type": "module", "dependencies": { "ml-matrix": "^6.0.0" },
 *   "countersign": { "serverapp": "./server-app.ts", "clientapp": "./client-app.ts", "config": { "num-rounds": 3 } } }
 * ```
 */
export interface AppBundle {
  /** Lower-case hex SHA-256 of the packed bytes; on the wire `fab_hash`. */
  readonly id: string;
  /** The package's name; on the wire `fab_id`. */
  readonly name: string;
  /** The package's version; on the wire `fab_version`. */
  readonly version: string;
  /** Path of each app's module inside the bundle, without a leading `./`. */
  readonly entryPoints: Readonly<Partial<Record<PluginType, string>>>;
  /** The app's default configuration; nested objects are flattened to keys joined by dots, as Flower does. */
  readonly config: ConfigValues;
  /** Names of the packages the app imports; they are not in the bundle. */
  readonly dependencies: readonly string[];
  /** File contents by path. */
  readonly files: ReadonlyMap<string, Uint8Array>;
}

/** The id of a bundle: the lower-case hex SHA-256 of its packed bytes. */
export function bundleId(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/**
 * Reads and checks an app bundle: at most 10 MiB packed and 100 MiB unpacked, only files below `package/`, no links,
 * and a package.json with a name, a version and the entry points of existing files. It runs nothing of the bundle.
 *
 * @throws Error that says what is wrong with the bundle
 */
export async function readBundle(bytes: Uint8Array): Promise<AppBundle> {
  const files = await unpackArchive(bytes);
  const manifest = readManifest(files);
  const name = text(manifest, "name");
  const version = text(manifest, "version");
  const section = manifest.countersign;
  if (!isRecord(section)) {
    throw new Error('The app bundle\'s package.json lacks the object "countersign".');
  }
  const entryPoints: Partial<Record<PluginType, string>> = {};
  for (const pluginType of ["serverapp", "clientapp"] as const) {
    const entryPoint = entryPointOf(section, pluginType, files);
    if (entryPoint !== undefined) entryPoints[pluginType] = entryPoint;
  }
  if (Object.keys(entryPoints).length === 0) {
    throw new Error(
      'The app bundle\'s package.json names no entry point: "countersign" must hold "serverapp" or "clientapp".',
    );
  }
  return {
    id: bundleId(bytes),
    name,
    version,
    entryPoints,
    config: flattenConfig(section.config ?? {}),
    dependencies: dependenciesOf(manifest),
    files,
  };
}

function readManifest(files: ReadonlyMap<string, Uint8Array>): Record<string, unknown> {
  const bytes = files.get("package.json");
  if (bytes === undefined) throw new Error("The app bundle has no package.json.");
  let manifest: unknown;
  try {
    manifest = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    throw new Error("The app bundle's package.json is not valid JSON.");
  }
  if (!isRecord(manifest)) throw new Error("The app bundle's package.json is not an object.");
  return manifest;
}

function entryPointOf(
  section: Record<string, unknown>,
  pluginType: PluginType,
  files: ReadonlyMap<string, Uint8Array>,
): string | undefined {
  const value = section[pluginType];
  if (value === undefined) return undefined;
  if (typeof value !== "string" || !value.startsWith("./")) {
    throw new Error(
      `The app bundle's "countersign.${pluginType}" must be a path that starts with "./".`,
    );
  }
  const path = value.slice(2);
  if (!files.has(path)) {
    throw new Error(
      `The app bundle's "countersign.${pluginType}" names ${JSON.stringify(value)}, which it does not hold.`,
    );
  }
  return path;
}

function dependenciesOf(manifest: Record<string, unknown>): string[] {
  const names = new Set<string>();
  for (const field of ["dependencies", "peerDependencies"]) {
    const dependencies = manifest[field];
    if (dependencies === undefined) continue;
    if (!isRecord(dependencies)) {
      throw new Error(`The app bundle's package.json has a "${field}" that is not an object.`);
    }
    for (const name of Object.keys(dependencies)) {
      // A name becomes a path of the install directory, so it must be one that npm allows.
      if (!/^(@[a-z0-9][a-z0-9._~-]*\/)?[a-z0-9][a-z0-9._~-]*$/.test(name)) {
        throw new Error(
          `The app bundle depends on ${JSON.stringify(name)}, which is no package name.`,
        );
      }
      names.add(name);
    }
  }
  return [...names];
}

function text(manifest: Record<string, unknown>, field: string): string {
  const value = manifest[field];
  if (typeof value !== "string" || value === "") {
    throw new Error(`The app bundle's package.json lacks the text "${field}".`);
  }
  return value;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
