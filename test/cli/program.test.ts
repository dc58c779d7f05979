import { once } from "node:events";
import { createServer } from "node:net";
import { describe, expect, test } from "vitest";
import { createProgram } from "../../src/cli/program.ts";
import { run } from "./command-line.ts";

describe("a wrong command line exits with 2 and does nothing", () => {
  test.each([
    [["nonsense"], "error: unknown command 'nonsense'"],
    [["run"], "error: missing required argument 'bundle'"],
    [["superlink"], "error: required option '--database <place>' not specified"],
    [["superexec", "other"], "Allowed choices are serverapp, clientapp."],
    [["log", "0"], "Expected a run id: a whole number from 1 to 18446744073709551615."],
    [["superexec", "serverapp", "--flower-commands", "bin"], "needs --app-runtime flower"],
    [["superexec", "serverapp", "--app-runtime", "flower", "--", "app"], "exclude each other"],
    [["run", "x.tgz", "--count", "0"], "Expected a whole number from 1 to 1000."],
    [["ls", "--superlink", "localhost"], "Expected a URL such as http://127.0.0.1:9091."],
    [["app", "serverapp"], "error: required option '--address <url>' not specified"],
  ])("%j", async (parameters, message) => {
    const { code, stdout, stderr } = await run(parameters);
    expect([code, stdout]).toEqual([2, ""]);
    expect(stderr).toContain(message);
  });
});

test("--version is the package's", async () => {
  const { default: manifest } = await import("../../package.json", { with: { type: "json" } });
  expect(await run(["--version"])).toEqual({
    code: 0,
    stdout: `${manifest.version}\n`,
    stderr: "",
  });
});

test("a port that is taken, and Flower's commands that are not there, are one sentence", async () => {
  const taken = createServer().listen(0, "127.0.0.1");
  await once(taken, "listening");
  const address = taken.address();
  const port = String(typeof address === "object" ? address?.port : "");
  const fixed = ["--database", ":memory:", "--fleet-port", "0", "--control-port", "0"];
  const env = { COUNTERSIGN_OPERATOR_TOKEN: "anything" };
  const link = await run(["superlink", ...fixed, "--port", port], env);
  taken.close();
  expect([link.code, link.stdout]).toEqual([1, ""]);
  expect(link.stderr).toMatch(
    new RegExp(
      `^countersign: It was not possible to listen on port ${port} of 127\\.0\\.0\\.1, which is taken: .*\n$`,
    ),
  );
  const flower = ["superexec", "clientapp", "--app-runtime", "flower"];
  expect(await run([...flower, "--flower-commands", "/nowhere"])).toEqual({
    code: 1,
    stdout: "",
    stderr:
      "countersign: Flower's command flwr-clientapp was not found: install the Python package flwr 1.29.\n",
  });
});

test("--help lists the commands, but not the one that only a SuperExec uses", async () => {
  const { code, stdout } = await run(["--help"]);
  expect(code).toBe(0);
  for (const name of [
    "superlink",
    "supernode",
    "superexec",
    "run",
    "ls",
    "log",
    "stop",
    "policy",
  ]) {
    expect(stdout).toMatch(new RegExp(`^  ${name} `, "m"));
  }
  expect(stdout).not.toMatch(/^ {2}app /m);
});

test.each(["superlink", "supernode"])("%s listens on loopback unless told otherwise", (name) => {
  const command = createProgram().commands.find((each) => each.name() === name);
  expect(command?.options.find(({ long }) => long === "--host")?.defaultValue).toBe("127.0.0.1");
});

test("policy shows each RPC's credential and what it binds, as text and as JSON", async () => {
  const text = await run(["policy"]);
  expect(text.code).toBe(0);
  expect(text.stdout).toMatch(
    /^flwr\.proto\.ServerAppIo \(SuperExecs need no key\)\n {2}RPC +CREDENTIAL +BOUND REQUEST FIELDS\n/,
  );
  expect(text.stdout).toMatch(/^ {2}RequestToken +open$/m);
  expect(text.stdout).toMatch(
    /^ {2}PushMessages +appToken +token = secret, messages_list\[\]\.metadata\.run_id = runId, run_id = runId$/m,
  );
  const services = ["ServerAppIo", "ClientAppIo", "SimulationIo", "Fleet"];
  for (const service of services.map((name) => `flwr.proto.${name}`)) {
    expect(text.stdout).toMatch(
      new RegExp(`^${service.replaceAll(".", "\\.")}(?: \\(.+\\))?$`, "m"),
    );
  }
  expect(text.stdout).toMatch(/^countersign\.control\.v1\.Control$/m);
  const json = await run(["policy", "--json"]);
  const rows = json.stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  expect(rows).toContainEqual({
    service: "flwr.proto.ServerAppIo",
    when: "SuperExecs must sign",
    method: "GetNodes",
    credentials: ["appToken"],
    bound: [{ credential: "appToken", path: "run_id", binds: "runId" }],
  });
});

test("an unreachable SuperLink is one sentence and exit code 1", async () => {
  const env = { COUNTERSIGN_OPERATOR_TOKEN: "some-token" };
  const { code, stderr } = await run(["ls", "--superlink", "http://127.0.0.1:1"], env);
  expect([code, stderr]).toEqual([
    1,
    "countersign: The SuperLink at http://127.0.0.1:1 cannot be reached.\n",
  ]);
});

test.each([
  "http://user:pass@127.0.0.1:1",
  // None of these can be parsed, or not as it was meant.
  "http://user:pa#ss@127.0.0.1:1",
  "user:pass@127.0.0.1:1",
])("a password in a service's URL is refused and not shown: %s", async (url) => {
  const { code, stdout, stderr } = await run(["ls"], {
    COUNTERSIGN_OPERATOR_TOKEN: "some-token",
    COUNTERSIGN_SUPERLINK: url,
  });
  expect({ code, stdout, stderr }).toEqual({
    code: 2,
    stdout: "",
    stderr:
      "countersign: The URL of a service must not hold a user name or password: services take tokens and signatures only.\n",
  });
});

test("a token is not sent in plaintext to another machine", async () => {
  const env = { COUNTERSIGN_OPERATOR_TOKEN: "some-token" };
  const { code, stderr } = await run(["ls", "--superlink", "http://192.0.2.1:9093"], env);
  expect(code).toBe(1);
  expect(stderr).toContain("sends in plaintext to http://192.0.2.1:9093");
});
