import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { request as httpRequest, type IncomingHttpHeaders } from "node:http";
import { request as httpsRequest } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { generate } from "selfsigned";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type SuperLink, startSuperLink } from "../../src/appio/superlink/superlink.ts";
import { parseToken } from "../../src/policy/token.ts";
import { run, type Started, start } from "./command-line.ts";

const origin = "https://app.example.com";

let directory: string;
let superLink: SuperLink;
let superNode: Started;
let url: URL;
let certificate: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "countersign-listener-test-"));
  const altNames = [{ type: 7 as const, ip: "127.0.0.1" }];
  const made = await generate([{ name: "commonName", value: "127.0.0.1" }], {
    keyType: "ec",
    algorithm: "sha256",
    extensions: [{ name: "subjectAltName", altNames }],
  });
  certificate = made.cert;
  await writeFile(join(directory, "cert.pem"), made.cert);
  await writeFile(join(directory, "key.pem"), made.private);
  superLink = await startSuperLink({
    databasePath: ":memory:",
    operatorToken: parseToken("operator"),
    ...{ serverAppIoPort: 0, fleetPort: 0, controlPort: 0 },
  });
  superNode = start([
    ...["supernode", "--superlink", superLink.fleetUrl, "--port", "0", "--isolation", "process"],
    ...["--tls-cert", join(directory, "cert.pem"), "--tls-key", join(directory, "key.pem")],
    ...["--browser-origin", origin, "--browser-origin", "http://localhost:8080"],
  ]);
  url = new URL(String((await superNode.event("ready")).clientAppIoUrl));
});

afterAll(async () => {
  superNode?.child.kill("SIGTERM");
  await superNode?.ended;
  await superLink?.close();
  await rm(directory, { recursive: true, force: true });
});

/** What a browser asks before a page of `from` may call, with the certificate as the only one it trusts. */
function preflight(from: string): Promise<{ status?: number; headers: IncomingHttpHeaders }> {
  const headers = { origin: from, "access-control-request-method": "POST" };
  return new Promise((resolve, reject) => {
    const sent = httpsRequest(url, { method: "OPTIONS", headers, ca: certificate }, (answer) => {
      answer.resume();
      const { statusCode: status, headers } = answer;
      resolve(status === undefined ? { headers } : { status, headers });
    });
    sent.on("error", reject).end();
  });
}

describe("a SuperNode started with --tls-cert and --browser-origin", () => {
  test("says that it speaks TLS, and does not answer in plaintext", async () => {
    expect(url.protocol).toBe("https:");
    const plain = new Promise((resolve, reject) => {
      httpRequest(new URL(`http://${url.host}`), resolve)
        .on("error", reject)
        .end();
    });
    await expect(plain).rejects.toThrow();
  });

  test.each([origin, "http://localhost:8080"])("lets pages of %s send a token", async (from) => {
    const { status, headers } = await preflight(from);
    expect([status, headers["access-control-allow-origin"]]).toEqual([204, from]);
    expect(headers["access-control-allow-headers"]).toContain("flwr-app-token");
  });

  test("refuses the pages of any other origin", async () => {
    const { status, headers } = await preflight("https://other.example.com");
    expect([status, headers["access-control-allow-origin"]]).toEqual([403, undefined]);
  });
});

test("a SuperLink started with --tls-cert speaks TLS to nodes and the operator", async () => {
  const started = start([
    ...["superlink", "--database", ":memory:", "--isolation", "process"],
    ...["--port", "0", "--fleet-port", "0", "--control-port", "0"],
    ...["--operator-token-file", join(directory, "operator-token")],
    ...["--tls-cert", join(directory, "cert.pem"), "--tls-key", join(directory, "key.pem")],
  ]);
  const { serverAppIoUrl, fleetUrl, controlUrl } = await started.event("ready");
  expect(serverAppIoUrl).toMatch(/^http:/);
  expect(fleetUrl).toMatch(/^https:/);
  const parameters = ["ls", "--json", "--superlink", String(controlUrl)];
  const operator = ["--operator-token-file", join(directory, "operator-token")];
  const listed = await run([...parameters, ...operator], {
    NODE_EXTRA_CA_CERTS: join(directory, "cert.pem"),
  });
  expect(listed).toEqual({ code: 0, stdout: "", stderr: "" });
  started.child.kill("SIGTERM");
  await started.ended;
});

test("what is no certificate and its key is named, and nothing of its content", async () => {
  const file = join(directory, "mistaken.pem");
  await writeFile(file, "a-secret");
  const parameters = ["superlink", "--database", ":memory:", "--tls-cert", file, "--tls-key", file];
  const { code, stderr } = await run(parameters);
  expect(code).toBe(1);
  expect(stderr).toContain(
    `countersign: ${file} and ${file} must be a certificate and its private key, in PEM: `,
  );
  expect(stderr).not.toContain("a-secret");
});

test("a SuperLink's --tls-cert needs --tls-key", async () => {
  const { code, stderr } = await run(["superlink", "--database", ":memory:", "--tls-cert", "c"]);
  expect([code, stderr]).toEqual([
    2,
    "error: --tls-cert and --tls-key need each other\n(try --help)\n",
  ]);
});

test.each([
  [["--tls-cert", "cert.pem"], "--tls-cert and --tls-key need each other"],
  [["--tls-key", "key.pem"], "--tls-cert and --tls-key need each other"],
  [["--browser-host", "localhost"], "--browser-host needs --browser-origin"],
])("%j is a wrong command line", async (parameters, message) => {
  const { code, stderr } = await run(["supernode", ...parameters]);
  expect([code, stderr]).toEqual([2, `error: ${message}\n(try --help)\n`]);
});

test.each([
  [["--tls-cert", "absent.pem", "--tls-key", "absent.pem"], "absent.pem cannot be read."],
  [["--browser-origin", "*"], '"browsers.origins" must list exact origins'],
])("%j fails with one line", async (parameters, message) => {
  const { code, stderr } = await run(["supernode", "--port", "0", ...parameters]);
  expect([code, stderr]).toEqual([1, expect.stringContaining(message)]);
  expect(stderr.trim()).not.toContain("\n");
});
