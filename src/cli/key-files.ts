import type { KeyObject } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import { CommandError } from "./exit-code.ts";

/**
 * Reads a file of public keys: PEM blocks and OpenSSH lines, in any order; empty lines and lines that begin with `#`
 * are skipped. The keys themselves are not looked at.
 *
 * @throws CommandError when the file cannot be read or holds no key
 */
export async function readPublicKeyFile(file: string): Promise<readonly string[]> {
  const content = await read(file);
  const keys =
    content.match(/^-----BEGIN [^-]+-----$[\s\S]*?^-----END [^-]+-----$|^[^#\s-].*$/gm) ?? [];
  if (keys.length === 0) throw new CommandError(`${file} holds no public key.`);
  return keys;
}

/**
 * Reads a file with a private key, as PEM or in OpenSSH's format.
 *
 * @throws CommandError when the file cannot be read, or others can read it
 * @throws TypeError when it holds no private EC key on a NIST curve; the message never shows the key
 */
export async function readPrivateKeyFile(file: string): Promise<KeyObject> {
  const { readPrivateKey } = await import("../appio/credentials/private-key.ts");
  await assertOwnersOnly(file);
  return readPrivateKey(await read(file), file);
}

/**
 * Throws unless only a file's owner can read it; a file that does not exist passes.
 *
 * @throws CommandError when others can read it
 */
export async function assertOwnersOnly(file: string): Promise<void> {
  // Windows has no such bits: access there is a matter of the folder's access control list.
  if (process.platform === "win32") return;
  const mode = await stat(file).then(
    (found) => found.mode,
    () => 0,
  );
  if ((mode & 0o077) !== 0) {
    throw new CommandError(`Others can read the secret in ${file}: run chmod 600 on it.`);
  }
}

async function read(file: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch {
    throw new CommandError(`${file} cannot be read.`);
  }
}
