import type { JsonWebKey } from "node:crypto";
import { type Curve, nistCurves } from "./curves.ts";

/** Why a key in one of OpenSSH's formats cannot be used. Its message never shows the key. */
export class OpenSshKeyError extends Error {
  override readonly name = "OpenSshKeyError";
}

const privateKeyMagic = "openssh-key-v1\0";

/**
 * Reads a public key as OpenSSH writes it on one line:
 * `ecdsa-sha2-nistp384 AAAA... comment` (RFC 4253, section 6.6; RFC 5656).
 *
 * @throws OpenSshKeyError if it is something else, or no ECDSA key
 */
export function readOpenSshPublicKey(line: string): JsonWebKey {
  const [type = "", blob = ""] = line.trim().split(/\s+/);
  const key = readPublicBlob(new SshReader(Buffer.from(blob, "base64")));
  if (key.type !== type) {
    throw new OpenSshKeyError("the key is not of the type that stands before it");
  }
  return key.jwk;
}

/**
 * Reads an unencrypted private key as ssh-keygen writes it
 * (`-----BEGIN OPENSSH PRIVATE KEY-----`; OpenSSH's PROTOCOL.key).
 *
 * @throws OpenSshKeyError if it is something else, encrypted, or no ECDSA key
 */
export function readOpenSshPrivateKey(text: string): JsonWebKey {
  const [, base64 = ""] =
    /-----BEGIN OPENSSH PRIVATE KEY-----([A-Za-z0-9+/=\s]*)-----END OPENSSH PRIVATE KEY-----/.exec(
      text,
    ) ?? [];
  const file = new SshReader(Buffer.from(base64, "base64"));
  if (file.take(privateKeyMagic.length).toString("latin1") !== privateKeyMagic) {
    throw new OpenSshKeyError("it is no OpenSSH private key");
  }
  const [cipher, derivation] = [file.text(), file.text()];
  file.string();
  if (cipher !== "none" || derivation !== "none") {
    throw new OpenSshKeyError("it is encrypted: remove its passphrase with ssh-keygen -p");
  }
  if (file.number() !== 1) {
    throw new OpenSshKeyError("it holds more than one key");
  }
  file.string();
  const secrets = new SshReader(file.string());
  const [check, checkAgain] = [secrets.number(), secrets.number()];
  if (check !== checkAgain) {
    throw new OpenSshKeyError("it is damaged");
  }
  const { jwk, curve } = readPublicBlob(secrets);
  return { ...jwk, d: coordinate(unsigned(secrets.string()), curve) };
}

/** An ECDSA key as both formats hold it: type, curve, point. */
function readPublicBlob(reader: SshReader): { type: string; jwk: JsonWebKey; curve: Curve } {
  const [type, curveName] = [reader.text(), reader.text()];
  const curve = [...nistCurves.values()].find(({ ssh }) => ssh === curveName);
  if (curve?.jwk === undefined || type !== `ecdsa-sha2-${curveName}`) {
    throw new OpenSshKeyError("it is no ECDSA key on nistp256, nistp384 or nistp521");
  }
  const point = reader.string();
  const { coordinateBytes } = curve;
  // 4 marks a point with both coordinates; OpenSSH writes no other.
  if (point[0] !== 4 || point.length !== 1 + 2 * coordinateBytes) {
    throw new OpenSshKeyError("it is damaged");
  }
  const x = coordinate(point.subarray(1, 1 + coordinateBytes), curve);
  const y = coordinate(point.subarray(1 + coordinateBytes), curve);
  return { type, curve, jwk: { kty: "EC", crv: curve.jwk, x, y } };
}

/** A number of the curve's size, as a JSON Web Key has it. */
function coordinate(value: Buffer, { coordinateBytes }: Curve): string {
  if (value.length > coordinateBytes) {
    throw new OpenSshKeyError("it is damaged");
  }
  const zeros = Buffer.alloc(coordinateBytes - value.length);
  return Buffer.concat([zeros, value]).toString("base64url");
}

/** Drops the zero that keeps a large positive number from being read as a negative one. */
function unsigned(value: Buffer): Buffer {
  return value[0] === 0 ? value.subarray(1) : value;
}

/** Reads the data types of RFC 4251, section 5. */
class SshReader {
  readonly #bytes: Buffer;
  #offset = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  take(length: number): Buffer {
    const end = this.#offset + length;
    if (end > this.#bytes.length) {
      throw new OpenSshKeyError("it is no key, or cut off");
    }
    const taken = this.#bytes.subarray(this.#offset, end);
    this.#offset = end;
    return taken;
  }

  number(): number {
    return this.take(4).readUInt32BE();
  }

  string(): Buffer {
    return this.take(this.number());
  }

  text(): string {
    return this.string().toString("latin1");
  }
}
