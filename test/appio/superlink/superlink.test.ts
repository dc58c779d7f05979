import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { generate } from "selfsigned";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ServerAppIo } from "../../../gen/flwr/proto/serverappio_pb.ts";
import { controlPolicy, serverAppIoPolicy } from "../../../src/appio/policy.ts";
import { type SuperLinkOptions, startSuperLink } from "../../../src/appio/superlink/superlink.ts";
import { openSqlite } from "../../../src/authority/sqlite.ts";
import { createAuthenticatedClient } from "../../../src/client/authenticated-client.ts";
import { transportTo } from "../../../src/client/located-transport.ts";
import { parseToken } from "../../../src/policy/token.ts";
import { createSuperLinkWorld, failureOf, operator } from "./world.ts";

let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "countersign-superlink-"));
});
afterEach(() => rm(directory, { recursive: true }));

function options() {
  return {
    databasePath: join(directory, "state.db"),
    operatorToken: operator,
    serverAppIoPort: 0,
    fleetPort: 0,
    controlPort: 0,
  } satisfies SuperLinkOptions;
}

describe("a SuperLink", () => {
  it("goes on where it stopped: runs, tokens and logs survive", async () => {
    let runId: bigint;
    let token: string;
    {
      await using link = await startSuperLink(options());
      const anybody = createClient(
        ServerAppIo,
        createGrpcTransport({ baseUrl: link.serverAppIoUrl }),
      );
      runId = (await link.state.runs.create({ fab: new Uint8Array([1]) }))[0] ?? 0n;
      token = (await anybody.requestToken({ runId })).token;
      await link.state.logs.append(runId, "before");
    }
    await using link = await startSuperLink(options());
    const transport = transportTo(createGrpcTransport, { baseUrl: link.serverAppIoUrl });
    const app = createAuthenticatedClient(serverAppIoPolicy, transport, {
      appToken: parseToken(token),
    });
    expect((await app.pullAppInputs({})).run?.runId).toBe(runId);
    expect((await link.state.logs.after(runId, 0)).text).toBe("before");
  });

  it("speaks TLS on Fleet and Control, and plaintext on ServerAppIo, whose apps know nothing else", async () => {
    const made = await generate([{ name: "commonName", value: "127.0.0.1" }], {
      keyType: "ec",
      algorithm: "sha256",
      extensions: [{ name: "subjectAltName", altNames: [{ type: 7, ip: "127.0.0.1" }] }],
    });
    await using link = await startSuperLink({
      ...options(),
      tls: { cert: made.cert, key: made.private },
    });
    const protocols = [link.serverAppIoUrl, link.fleetUrl, link.controlUrl].map(
      (url) => new URL(url).protocol,
    );
    expect(protocols).toEqual(["http:", "https:", "https:"]);
    const [runId = 0n] = await link.state.runs.create({ fab: new Uint8Array([1]) });
    const listRuns = (nodeOptions: object) =>
      createAuthenticatedClient(
        controlPolicy,
        transportTo(createGrpcTransport, { baseUrl: link.controlUrl, nodeOptions }),
        { operatorToken: operator },
      ).listRuns({});
    expect((await listRuns({ ca: made.cert })).runs).toMatchObject([{ runId }]);
    await expect(listRuns({}), "a certificate that nobody vouches for").rejects.toThrow();
  });

  it("keeps no token in its file", async () => {
    const given = options();
    let token: string | undefined;
    {
      await using link = await startSuperLink(given);
      const [runId = 0n] = await link.state.runs.create({ fab: new Uint8Array([1]) });
      token = await link.state.runs.claim(runId);
    }
    const file = await readFile(given.databasePath, "latin1");
    expect(file).toContain("SQLite");
    expect(token).toHaveLength(256);
    expect(file).not.toContain(token ?? "");
    expect(file).not.toContain(operator);
  });

  it("has its file for itself", async () => {
    await using _first = await startSuperLink(options());
    await expect(startSuperLink(options())).rejects.toThrow("state.db");
  });

  it("gives everything back when a port is taken", async () => {
    const taken = createServer();
    const port = await new Promise<number>((resolve) => {
      taken.listen(0, "127.0.0.1", () => {
        const address = taken.address();
        resolve(typeof address === "object" && address !== null ? address.port : 0);
      });
    });
    try {
      await expect(startSuperLink({ ...options(), controlPort: port })).rejects.toMatchObject({
        code: "EADDRINUSE",
      });
      await using _second = await startSuperLink(options());
    } finally {
      taken.close();
    }
  });

  it("does not wait for those who follow a log when it stops", async () => {
    const world = await createSuperLinkWorld();
    const { runId, app } = await world.runningRun();
    await app.pushLogs({ logs: ["one\n"] });
    const pages = world.control.streamLogs({ runId, follow: true })[Symbol.asyncIterator]();
    await pages.next();
    const startedAt = performance.now();
    const [failure] = await Promise.all([failureOf(pages.next()), world.link.close()]);
    expect(failure.text).toBe("The log is no longer followed.");
    expect(performance.now() - startedAt).toBeLessThan(5_000);
  });
});

it("needs to be told where its state is, once", async () => {
  const { databasePath: _, ...without } = options();
  const refusal = new TypeError('either "databasePath" or "database" must say where the state is');
  await expect(startSuperLink(without)).rejects.toThrow(refusal);
  const database = await openSqlite({ path: ":memory:" });
  await expect(startSuperLink({ ...options(), database })).rejects.toThrow(refusal);
  await database.close();
});
