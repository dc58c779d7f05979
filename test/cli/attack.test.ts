import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { serveMailbox } from "../serve/mailbox-server.ts";
import { withOpenRpc } from "../testing/bad-servers.ts";
import { run } from "./command-line.ts";

const policies = fileURLToPath(new URL("../serve/mailbox-server.ts", import.meta.url));
const credentials = fileURLToPath(new URL("fixtures/attack-credentials.ts", import.meta.url));
const quick = ["--protocol", "gRPC"];

test("attack tells that nothing was found, as a table, and exits with 0", async () => {
  await using mailbox = await serveMailbox();
  const parameters = ["attack", mailbox.server.url, "--policy", policies, "health"];
  const { code, stdout, stderr } = await run([
    ...parameters,
    "--credentials",
    credentials,
    ...quick,
  ]);
  expect([code, stderr]).toEqual([0, ""]);
  expect(stdout).toMatch(/^ {2}RPC +RULE +CALLS +FINDINGS$/m);
  expect(stdout).toMatch(/^ {2}countersign\.example\.v1\.Mailbox\/SendLetter +session +\d+$/m);
  expect(stdout).toMatch(/^ {2}grpc\.health\.v1\.Health\/Check +open +\d+$/m);
  // The credentials were used: with a live one, requests name what is another's.
  expect(stdout).toContain(" 57 to be denied, ");
  expect(stdout).toMatch(/^0 findings\n$/m);
});

test("attack exits with 1 when something was found, and tells each finding", async () => {
  await using bad = await withOpenRpc();
  const parameters = ["attack", bad.url, "--policy", `${policies}#mailboxPolicy`, ...quick];
  const [text, json] = await Promise.all([run(parameters), run([...parameters, "--json"])]);
  expect([text.code, json.code]).toEqual([1, 1]);
  expect(text.stdout).toMatch(
    /^ACCEPTED, \d+ calls\n {2}expected {4}unauthenticated: Authentication failed\.\n {2}got {9}ok\n {2}RPC {9}countersign\.example\.v1\.Mailbox\/CountLetters\n {2}over {8}gRPC, HTTP\/1\.1; gRPC, HTTP\/2$/m,
  );
  const report = JSON.parse(json.stdout);
  expect(report.findings).toContainEqual({
    kind: "accepted",
    service: "countersign.example.v1.Mailbox",
    rpc: "CountLetters",
    column: "gRPC, HTTP/2",
    credential: "no header",
    request: "plain",
    expected: "unauthenticated: Authentication failed.",
    got: "ok",
  });
});

test.each([
  [["attack", "http://127.0.0.1:1"], 2, "required option '--policy <policy...>' not specified"],
  [["attack", "http://192.0.2.1:1", "--policy", "fleet"], 1, "--i-operate-this-server"],
  [["attack", "http://127.0.0.1:1", "--policy", "fleets"], 1, "fleets is none of server-app-io, "],
  [
    ["attack", "http://127.0.0.1:1", "--policy", `${policies}#nothing`],
    1,
    "exports no policy nothing.",
  ],
  [
    ["attack", "http://127.0.0.1:1", "--policy", "fleet", "--credentials", `${policies}#nothing`],
    1,
    "exports no object nothing.",
  ],
])("%j is refused", async (parameters, code, message) => {
  const ended = await run(parameters);
  expect(ended.code).toBe(code);
  expect(ended.stderr).toContain(message);
});
