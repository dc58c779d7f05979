import { type PublicKey, readPublicKey } from "./public-key.ts";

/** Kinds of app that a SuperExec may be allowed to launch. */
export const superExecPlugins = ["serverapp", "simulation", "clientapp"] as const;

/** A kind of app that a SuperExec launches: Flower's plugin types, and `clientapp` for SuperNodes. */
export type SuperExecPlugin = (typeof superExecPlugins)[number];

/** A public key that the operator lists. */
export interface ListedSuperExecKey {
  /** The key, as PEM or as an OpenSSH line. */
  readonly publicKey: string;
  /** What its holder may launch. Default: all kinds of app. */
  readonly allowedPlugins?: readonly SuperExecPlugin[];
}

/** A key of the allow-list, and what its holder may launch. */
export interface AllowedSuperExecKey {
  readonly publicKey: PublicKey;
  readonly plugins: ReadonlySet<SuperExecPlugin>;
}

/**
 * Makes the allow-list, by the keys' PEM. A key that is listed twice, in
 * whichever format, may launch what either entry allows.
 *
 * @throws TypeError if there is no key, one cannot be read, or a plugin is
 * unknown; the message names the entry by its number
 */
export function allowSuperExecKeys(
  listed: readonly ListedSuperExecKey[],
): ReadonlyMap<string, AllowedSuperExecKey> {
  if (!Array.isArray(listed) || listed.length === 0) {
    throw new TypeError('"publicKeys" must list at least one public key');
  }
  const allowed = new Map<string, AllowedSuperExecKey>();
  for (const [index, { publicKey, allowedPlugins = superExecPlugins }] of listed.entries()) {
    const where = `"publicKeys": key ${index + 1}`;
    const parsed = readPublicKey(publicKey, where);
    const plugins = checkedPlugins(allowedPlugins, where);
    const before = allowed.get(parsed.pem)?.plugins ?? [];
    allowed.set(parsed.pem, { publicKey: parsed, plugins: new Set([...before, ...plugins]) });
  }
  return allowed;
}

function checkedPlugins(given: readonly unknown[], where: string): readonly SuperExecPlugin[] {
  const plugins = given.map((name) => superExecPlugins.find((known) => known === name));
  const found = plugins.filter((plugin) => plugin !== undefined);
  if (found.length === 0 || found.length !== plugins.length) {
    throw new TypeError(
      `${where} must be allowed some of the plugins ${superExecPlugins.join(", ")}, and no other`,
    );
  }
  return found;
}
