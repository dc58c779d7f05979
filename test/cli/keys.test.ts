import { generateKeyPairSync } from "node:crypto";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readPrivateKeyFile, readPublicKeyFile } from "../../src/cli/key-files.ts";
import { appBundle } from "../appio/launch/archive.ts";
import { run, type Started, start } from "./command-line.ts";

/** A ServerApp that counts its nodes. */
const bundle = appBundle(
  { serverapp: "./server-app.ts" },
  {
    "server-app.ts": `import { ServerApp } from "countersign/appio";
      export default new ServerApp().main(async (grid) => {
        console.log("nodes:", (await grid.getNodeIds()).length);
      });`,
  },
);

const anyPort = ["--port", "0"];
let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "countersign-keys-test-"));
});
afterAll(() => rm(directory, { recursive: true, force: true }));

async function write(name: string, content: string | Uint8Array, mode = 0o600): Promise<string> {
  const file = join(directory, name);
  await writeFile(file, content);
  await chmod(file, mode);
  return file;
}

/** Writes a new key pair as PEM. */
async function makeKey(name: string): Promise<{ key: string; keys: string; pem: string }> {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-384" });
  const pem = publicKey.export({ type: "spki", format: "pem" }).toString();
  return {
    key: await write(name, privateKey.export({ type: "pkcs8", format: "pem" }).toString()),
    keys: await write(`${name}.pub`, pem),
    pem,
  };
}

describe("key files", () => {
  test("of public keys hold PEM blocks and OpenSSH lines, and comments", async () => {
    const { pem } = await makeKey("one");
    const line = "ecdsa-sha2-nistp256 AAAAE2VjZHNh me@here";
    const file = await write("many", `# the nodes\n${pem}\n\n${line}\n  # none\n${pem}`);
    expect(await readPublicKeyFile(file)).toEqual([pem.trim(), line, pem.trim()]);
    await expect(readPublicKeyFile(await write("none", "# no key\n"))).rejects.toThrow(
      "holds no public key",
    );
  });

  test("of private keys are for their owner only, and their content is never shown", async () => {
    const { key } = await makeKey("two");
    expect((await readPrivateKeyFile(key)).asymmetricKeyType).toBe("ec");
    await chmod(key, 0o640);
    await expect(readPrivateKeyFile(key)).rejects.toThrow(
      `Others can read the secret in ${key}: run chmod 600 on it.`,
    );
    const bad = await write(
      "bad",
      "-----BEGIN PRIVATE KEY-----\nsecretsecret\n-----END PRIVATE KEY-----\n",
    );
    const failure: unknown = await readPrivateKeyFile(bad).catch((error) => error);
    expect(String(failure)).toContain(`${bad} cannot be read as a private key`);
    expect(String(failure)).not.toContain("secretsecret");
  });
});

describe("a SuperLink that knows its SuperNodes and SuperExecs by their keys", () => {
  let superLink: Started;
  let urls: Readonly<Record<string, unknown>>;
  let launcher: { key: string; pem: string };
  let node: { key: string; keys: string };
  beforeAll(async () => {
    launcher = await makeKey("launcher");
    const config = await write(
      "superexecs.yaml",
      `timestamp_tolerance_sec: 60
public_keys:
  - public_key: |
${launcher.pem.replaceAll(/^/gm, "      ")}
    allowed_plugins: [serverapp]
`,
    );
    node = await makeKey("node");
    superLink = start([
      ...["superlink", "--database", ":memory:", "--fleet-port", "0", "--control-port", "0"],
      ...["--operator-token-file", join(directory, "operator-token"), "--superexec-poll-ms", "20"],
      ...["--supernode-keys", node.keys, "--superexec-auth-config", config],
      ...["--auth-superexec-private-key", launcher.key, ...anyPort],
    ]);
    urls = await superLink.event("ready");
  });
  afterAll(async () => {
    superLink?.child.kill("SIGTERM");
    await superLink?.ended;
  });

  test("launches runs through the SuperExec it starts with the key", async () => {
    const file = await write("app.tgz", bundle);
    const operator = [
      ...["--superlink", String(urls.controlUrl)],
      ...["--operator-token-file", join(directory, "operator-token")],
    ];
    const { stdout } = await run(["run", file, ...operator]);
    const { stdout: log } = await run(["log", stdout.trim(), "-f", ...operator]);
    expect(log).toMatch(/^nodes: [01]\n$/);
  });

  test("refuses a SuperExec without a key, and one with another key", async () => {
    const stranger = await makeKey("strange-launcher");
    const appIo = ["superexec", "serverapp", "--appio", String(urls.serverAppIoUrl)];
    for (const parameters of [appIo, [...appIo, "--auth-superexec-private-key", stranger.key]]) {
      const { code, stderr } = await run(parameters);
      expect(code).toBe(1);
      expect(stderr).toContain("Authentication failed.");
    }
  });

  test("lets the listed SuperNode join, and no other", async () => {
    const fleet = ["supernode", "--superlink", String(urls.fleetUrl), "--isolation", "process"];
    const listed = start([...fleet, ...anyPort, "--auth-supernode-private-key", node.key]);
    expect(await listed.event("ready")).toMatchObject({ service: "supernode" });
    listed.child.kill("SIGTERM");
    expect((await listed.ended).code).toBe(0);

    const stranger = await makeKey("strange-node");
    for (const parameters of [[], ["--auth-supernode-private-key", stranger.key]]) {
      const { code, stdout } = await run([...fleet, ...anyPort, ...parameters]);
      expect([code, stdout]).toEqual([1, ""]);
    }
  });
});

test("a SuperNode's signatures are not sent in plaintext to another machine", async () => {
  const elsewhere = ["supernode", "--superlink", "http://192.0.2.1:9092", ...anyPort];
  const { code, stdout, stderr } = await run([...elsewhere, "--isolation", "process"]);
  expect([code, stdout]).toEqual([1, ""]);
  expect(stderr).toContain("sends in plaintext to http://192.0.2.1:9092");
});
