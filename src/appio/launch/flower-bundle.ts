import { strFromU8, unzipSync } from "fflate";
import { parse } from "smol-toml";
import { type ConfigValues, flattenConfig } from "../runtime/config-values.ts";

/** What an app bundle says of itself, whichever tool has made it. */
export interface BundleDescription {
  /** On the wire `fab_id`: the package's name, or Flower's `publisher/name`. */
  readonly name: string;
  /** On the wire `fab_version`. */
  readonly version: string;
  /** The app's default configuration, with flat keys. */
  readonly config: ConfigValues;
}

/** Where a Flower App Bundle says what it is. */
const manifestName = "pyproject.toml";

/** The largest manifest that is read, in bytes: a zip entry can unpack to a thousand times its size. */
const maxManifestBytes = 1024 * 1024;

/** Tells whether bytes are a zip archive, which a Flower App Bundle is and a bundle of `npm pack` is not. */
export function isFlowerBundle(bytes: Uint8Array): boolean {
  return bytes[0] === 0x50 && bytes[1] === 0x4b && bytes[2] === 0x03 && bytes[3] === 0x04;
}

/**
 * Reads what `flwr build` wrote into a bundle's pyproject.toml. The rest of the bundle is Python, which runs in
 * Flower's own processes only, and is not looked at.
 *
 * @throws Error that says what is wrong with the bundle
 */
export function readFlowerBundle(bytes: Uint8Array): BundleDescription {
  const manifest = parseManifest(bytes);
  const project = table(manifest, "project");
  const app = table(table(table(manifest, "tool"), "flwr"), "app");
  return {
    name: `${text(app, "publisher")}/${text(project, "name")}`,
    version: text(project, "version"),
    config: flattenConfig(app.config ?? {}),
  };
}

function parseManifest(bytes: Uint8Array): object {
  let unpacked: Record<string, Uint8Array>;
  try {
    unpacked = unzipSync(bytes, {
      filter: ({ name, originalSize }) => name === manifestName && originalSize <= maxManifestBytes,
    });
  } catch {
    throw new Error("The Flower App Bundle is not a valid zip archive.");
  }
  const content = unpacked[manifestName];
  if (content === undefined) {
    throw new Error(
      `The Flower App Bundle has no ${manifestName} of at most ${maxManifestBytes} bytes.`,
    );
  }
  try {
    // TOML tells 5 from 5.0, and so does Flower's configuration.
    return parse(strFromU8(content), { integersAsBigInt: true });
  } catch {
    throw new Error(`The Flower App Bundle's ${manifestName} is not valid TOML.`);
  }
}

function table(parent: object, name: string): Record<string, unknown> {
  const value: unknown = Object.getOwnPropertyDescriptor(parent, name)?.value;
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new Error(`The Flower App Bundle's ${manifestName} lacks the table "${name}".`);
  }
  return { ...value };
}

function text(parent: Record<string, unknown>, name: string): string {
  const value = parent[name];
  if (typeof value !== "string" || value === "") {
    throw new Error(`The Flower App Bundle's ${manifestName} lacks the text "${name}".`);
  }
  return value;
}
