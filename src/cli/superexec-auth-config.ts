import { readFile } from "node:fs/promises";
import type { ListedSuperExecKey, SuperExecPlugin } from "../appio/credentials/super-exec-keys.ts";
import type { SuperExecAuth } from "../appio/credentials/super-exec-verifier.ts";
import { CommandError } from "./exit-code.ts";

/**
 * Reads who may launch apps, in Flower's format (contract 2.3), as YAML or JSON:
 *
 * ```yaml
 * enabled: true                  # default
 * timestamp_tolerance_sec: 300   # default
 * public_keys:                   # OpenSSH lines or PEM
 *   - ecdsa-sha2-nistp384 AAAA...
 *   - public_key: ecdsa-sha2-nistp384 AAAA...
 *     allowed_plugins: [serverapp]
 * ```
 *
 * The keys themselves are not looked at.
 *
 * @returns undefined when the file says that it is not enabled
 * @throws CommandError when the file cannot be read, is something else, names a
 * setting or a plugin that there is not, or lists no key
 */
export async function readSuperExecAuthConfig(file: string): Promise<SuperExecAuth | undefined> {
  const { superExecPlugins } = await import("../appio/credentials/super-exec-keys.ts");
  const fail = (message: string): never => {
    throw new CommandError(`${file}: ${message}.`);
  };
  const settings = recordIn(await parse(file)) ?? fail("expected settings such as public_keys");
  const { enabled = true, timestamp_tolerance_sec: tolerance, public_keys: listed } = settings;
  for (const name of Object.keys(settings)) {
    if (!settingNames.includes(name)) fail(`there is no setting ${JSON.stringify(name)}`);
  }
  if (typeof enabled !== "boolean") fail("enabled must be true or false");
  if (!enabled) return undefined;
  if (tolerance !== undefined && !isPositiveInteger(tolerance)) {
    fail("timestamp_tolerance_sec must be a positive whole number");
  }
  if (!Array.isArray(listed) || listed.length === 0) {
    return fail("public_keys must list at least one key");
  }
  const publicKeys = listed.map((entry: unknown, index): ListedSuperExecKey => {
    const where = `key ${index + 1} of public_keys`;
    if (typeof entry === "string") return { publicKey: entry };
    const { public_key: publicKey, allowed_plugins: allowed, ...rest } = recordIn(entry) ?? {};
    if (typeof publicKey !== "string" || Object.keys(rest).length > 0) {
      return fail(`${where} must be a key, or public_key with allowed_plugins`);
    }
    if (allowed === undefined) return { publicKey };
    if (!Array.isArray(allowed) || allowed.length === 0) {
      return fail(`${where}: allowed_plugins must list some of ${superExecPlugins.join(", ")}`);
    }
    const allowedPlugins = allowed.map(
      (name: unknown): SuperExecPlugin =>
        superExecPlugins.find((plugin) => plugin === name) ??
        fail(`${where}: there is no plugin ${JSON.stringify(name)}`),
    );
    return { publicKey, allowedPlugins };
  });
  return {
    publicKeys,
    ...(isPositiveInteger(tolerance) ? { clockToleranceSeconds: tolerance } : {}),
  };
}

const settingNames: readonly string[] = ["enabled", "timestamp_tolerance_sec", "public_keys"];

async function parse(file: string): Promise<unknown> {
  const { parse: parseYaml, YAMLError } = await import("yaml");
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch {
    throw new CommandError(`${file} cannot be read.`);
  }
  try {
    return parseYaml(text);
  } catch (error) {
    const [where = ""] = error instanceof YAMLError ? error.message.split("\n") : [];
    throw new CommandError(`${file} is neither YAML nor JSON. ${where}`.trimEnd());
  }
}

function recordIn(value: unknown): Readonly<Record<string, unknown>> | undefined {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? Object.fromEntries(Object.entries(value))
    : undefined;
}

function isPositiveInteger(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 1;
}
