import { generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { create, type DescMethod, toBinary } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ClientAppIo } from "../../../gen/flwr/proto/clientappio_pb.ts";
import { GetRunRequestSchema } from "../../../gen/flwr/proto/run_pb.ts";
import { ServerAppIo } from "../../../gen/flwr/proto/serverappio_pb.ts";
import { signAsSuperExec } from "../../../src/appio/credentials/super-exec-signer.ts";
import { createSuperExecVerifier } from "../../../src/appio/credentials/super-exec-verifier.ts";
import { signedClientAppIoPolicy, signedServerAppIoPolicy } from "../../../src/appio/policy.ts";
import { signedClientAppIoService } from "../../../src/appio/supernode/client-app-io.ts";
import { transportTo } from "../../../src/client/located-transport.ts";
import { createPartialClient } from "../../../src/client/partial-client.ts";
import { parseToken } from "../../../src/policy/token.ts";
import { serve } from "../../../src/serve/serve.ts";
import { fabBytes } from "../state/world.ts";
import { createSuperLinkWorld, failureOf } from "../superlink/world.ts";
import { testNode } from "../supernode/test-node.ts";
import { mirrored, newKey, pemOf } from "./keys.ts";
import { binary, openRaw, type RawConnection, type RawHeaders } from "./raw-grpc.ts";

type World = Awaited<ReturnType<typeof createSuperLinkWorld>>;

const launcher = newKey();
const serverApps = newKey();
const simulations = newKey();
const clientApps = newKey();
const unauthenticated = String(Code.Unauthenticated);
const refused = { code: Code.Unauthenticated, text: "Authentication failed." };
const { listAppsToLaunch, requestToken, getRun, getNodes } = ServerAppIo.method;
const launching: readonly DescMethod[] = [listAppsToLaunch, requestToken, getRun];

let world: World;
let raw: RawConnection;
beforeAll(async () => {
  world = await createSuperLinkWorld({
    superExecAuth: {
      publicKeys: [
        { publicKey: pemOf(launcher) },
        { publicKey: pemOf(serverApps), allowedPlugins: ["serverapp"] },
        { publicKey: pemOf(simulations), allowedPlugins: ["simulation"] },
        { publicKey: pemOf(clientApps), allowedPlugins: ["clientapp"] },
      ],
    },
  });
  raw = openRaw(world.link.serverAppIoUrl);
});
afterAll(async () => {
  raw[Symbol.dispose]();
  await world.link.close();
});

/** What is not as it should be about a call. */
interface Flaw {
  readonly key?: KeyObject;
  /** The key that is shown, if it is not the one that signs. */
  readonly shown?: string;
  readonly timestamp?: string;
  /** The path that is signed, if it is not the RPC's. */
  readonly path?: string;
  /** What is signed, if it is not the timestamp and the path. */
  readonly signed?: string;
  readonly signature?: Uint8Array;
  /** Headers in place of those that follow from the above. */
  readonly headers?: Readonly<Record<string, string | readonly string[] | undefined>>;
}

const [keyHeader, signatureHeader, timeHeader] = [
  "flwr-superexec-public-key-bin",
  "flwr-superexec-signature-bin",
  "flwr-superexec-timestamp",
] as const;
const names = [keyHeader, signatureHeader, timeHeader];

function timeAt(seconds: number): string {
  return new Date(world.clock.now() + seconds * 1_000).toISOString().replace("Z", "000+00:00");
}

function pathOf(method: DescMethod): string {
  return `/${method.parent.typeName}/${method.name}`;
}

function headersWith(method: DescMethod, flaw: Flaw = {}): RawHeaders {
  const signer = flaw.key ?? launcher;
  const timestamp = flaw.timestamp ?? timeAt(0);
  const text = flaw.signed ?? `${timestamp}\n${flaw.path ?? pathOf(method)}`;
  const headers = {
    [keyHeader]: binary(flaw.shown ?? pemOf(signer)),
    [signatureHeader]: binary(flaw.signature ?? sign("sha256", Buffer.from(text), signer)),
    [timeHeader]: timestamp,
    ...flaw.headers,
  };
  const given: Record<string, string | readonly string[]> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (value !== undefined) {
      given[name] = value;
    }
  }
  return given;
}

const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });

/** Flaws that are refused on every RPC of launchers. */
const flaws: Readonly<Record<string, (method: DescMethod) => Flaw>> = {
  "no header": () => ({ headers: Object.fromEntries(names.map((name) => [name, undefined])) }),
  ...Object.fromEntries(
    names.flatMap((name): [string, (method: DescMethod) => Flaw][] => [
      [`no ${name}`, () => ({ headers: { [name]: undefined } })],
      [`an empty ${name}`, () => ({ headers: { [name]: "" } })],
      [
        `${name} twice`,
        (method) => {
          const value = String(headersWith(method)[name]);
          return { headers: { [name]: [value, value] } };
        },
      ],
      [`4 KB of garbage as ${name}`, () => ({ headers: { [name]: "A".repeat(4_000) } })],
    ]),
  ),
  "a key that is not listed": () => ({ key: newKey() }),
  "a listed key that did not sign": () => ({ key: newKey(), shown: pemOf(launcher) }),
  "an RSA key": () => ({
    key: rsa.privateKey,
    shown: rsa.publicKey.export({ type: "spki", format: "pem" }).toString(),
  }),
  "another spelling of the key": () => ({ shown: `${pemOf(launcher)}\n` }),
  "a key for ClientApps only": () => ({ key: clientApps }),
  "garbage for a signature": () => ({ signature: Buffer.alloc(70, 0x30) }),
  "a signature of the time only, as a node's": () => ({ signed: timeAt(0) }),
  "a signature of another time": () => ({ signed: `${timeAt(-1)}\n/a/path` }),
  "a signature for another RPC": (method) => ({
    path: pathOf(method === getRun ? requestToken : getRun),
  }),
  "a signature for the other service": ({ name }) => ({ path: `/${ClientAppIo.typeName}/${name}` }),
  "a signature of the path without its slash": (method) => ({ path: pathOf(method).slice(1) }),
  "a signature with another line end": (method) => ({
    signed: `${timeAt(0)}\r\n${pathOf(method)}`,
  }),
  "a time 305 s ago": () => ({ timestamp: timeAt(-305) }),
  "a time 5 s ahead": () => ({ timestamp: timeAt(5) }),
  "a time without offset": () => ({ timestamp: timeAt(0).replace("+00:00", "") }),
  "a time in words": () => ({ timestamp: "now" }),
};

/** How many calls have reached a handler. */
function allowed(): number {
  const counts = world.link.counters().filter(({ service }) => service === ServerAppIo.typeName);
  return counts.reduce((sum, count) => sum + count.allowed, 0);
}

/** ServerAppIo for the holder of a SuperExec's key, by this project's own client. */
function superExec(key: KeyObject) {
  return createPartialClient(
    signedServerAppIoPolicy,
    transportTo(createGrpcTransport, { baseUrl: world.link.serverAppIoUrl }),
    { superExecKey: signAsSuperExec(key) },
    { now: world.clock.now },
  );
}

describe("on the RPCs of launchers", () => {
  it.each(Object.keys(flaws))("%s is the one refusal", async (name) => {
    const runId = await world.pendingRun();
    const before = allowed();
    const reference = await raw.call(getNodes, {});
    for (const method of launching) {
      const answer = await raw.call(method, headersWith(method, flaws[name]?.(method) ?? {}));
      expect(answer, method.name).toEqual(reference);
      expect(answer.status).toBe(unauthenticated);
    }
    expect(allowed(), "no handler has run").toBe(before);
    expect(await world.state.runs.listClaimable()).toContain(runId);
  });

  it("a signature that was shown to RPCs that do not want it is still good, once", async () => {
    const headers = headersWith(listAppsToLaunch, { timestamp: timeAt(-1) });
    expect((await raw.call(getNodes, headers)).status).toBe(unauthenticated);
    expect((await raw.call(listAppsToLaunch, headers)).status).toBe("0");
    expect((await raw.call(listAppsToLaunch, headers)).status).toBe(unauthenticated);
  });

  it.each(["P-192", "P-224", "P-256", "P-384", "P-521"])(
    "a listed key on %s passes",
    async (curve) => {
      const key = newKey(curve);
      const verifier = createSuperExecVerifier({
        publicKeys: [{ publicKey: pemOf(key) }],
        now: world.clock.now,
      });
      const signed = await signAsSuperExec(key)({ method: getRun, now: world.clock.now });
      const { signal } = new AbortController();
      const call = { method: getRun, signal, timeoutMs: 5_000, isRecheck: false, isProbe: false };
      expect(await verifier(signed, call)).toMatchObject({
        launchesServerApps: true,
        launchesSimulations: true,
        keyFingerprint: expect.stringMatching(/^[0-9a-f]{64}$/),
      });
    },
  );

  it.each([
    ["304 s old", () => timeAt(-304)],
    ["4 s ahead", () => timeAt(4)],
    ["with Z", () => timeAt(0).replace("+00:00", "Z")],
  ])("a signature may be %s", async (_name, timestamp) => {
    const answer = await raw.call(
      listAppsToLaunch,
      headersWith(listAppsToLaunch, { timestamp: timestamp() }),
    );
    expect(answer.status).toBe("0");
  });

  it("a signature counts once, on its own RPC", async () => {
    const headers = headersWith(listAppsToLaunch);
    expect((await raw.call(requestToken, headers)).status).toBe(unauthenticated);
    expect((await raw.call(listAppsToLaunch, headers)).status).toBe("0");
    expect((await raw.call(listAppsToLaunch, headers)).status).toBe(unauthenticated);
    world.clock.advance(200);
    expect((await raw.call(listAppsToLaunch, headers)).status).toBe(unauthenticated);
    world.clock.advance(110);
    expect((await raw.call(listAppsToLaunch, headers)).status, "stale").toBe(unauthenticated);
    const next = headersWith(listAppsToLaunch);
    expect((await raw.call(listAppsToLaunch, next)).status).toBe("0");
    world.clock.advance(-310);
    const steppedBack = await raw.call(listAppsToLaunch, headers);
    expect(steppedBack.status, "the clock goes back").toBe(unauthenticated);
    world.clock.advance(310);
  });

  it("of calls with one signature that come at the same time, one gets through", async () => {
    const headers = headersWith(listAppsToLaunch);
    const answers = await Promise.all(
      Array.from({ length: 20 }, () => raw.call(listAppsToLaunch, headers)),
    );
    expect(answers.filter(({ status }) => status === "0")).toHaveLength(1);
  });

  it("the mirror image of a signature is the same signature", async () => {
    const timestamp = timeAt(0);
    const signed = Buffer.from(`${timestamp}\n${pathOf(listAppsToLaunch)}`);
    const signature = sign("sha256", signed, launcher);
    const first = headersWith(listAppsToLaunch, { timestamp, signature });
    const mirror = headersWith(listAppsToLaunch, { timestamp, signature: mirrored(signature) });
    expect((await raw.call(listAppsToLaunch, first)).status).toBe("0");
    expect((await raw.call(listAppsToLaunch, mirror)).status).toBe(unauthenticated);
    const other = timeAt(-1);
    const second = headersWith(listAppsToLaunch, { timestamp: other });
    expect((await raw.call(listAppsToLaunch, second)).status).toBe("0");
  });

  it("two calls of one instant are two calls", async () => {
    const client = superExec(launcher);
    const answers = await Promise.all(
      Array.from({ length: 10 }, () => client.listAppsToLaunch({})),
    );
    expect(answers).toHaveLength(10);
  });
});

describe("a SuperExec", () => {
  async function runOf(runType: string): Promise<bigint> {
    const { runIds } = await world.control.startRuns({ fab: fabBytes, runType });
    return runIds[0] ?? 0n;
  }

  it("lists, looks at and claims runs", async () => {
    const runId = await runOf("serverapp");
    const client = superExec(launcher);
    expect((await client.listAppsToLaunch({})).runIds).toContain(runId);
    expect((await client.getRun({ runId })).run?.runType).toBe("serverapp");
    expect((await client.requestToken({ runId })).token).toHaveLength(256);
    expect((await client.listAppsToLaunch({})).runIds).not.toContain(runId);
  });

  it("sees and claims what its key may launch only", async () => {
    const [app, simulation] = [await runOf("serverapp"), await runOf("simulation")];
    const only = { serverApps: superExec(serverApps), simulations: superExec(simulations) };
    const listed = async (client: ReturnType<typeof superExec>) =>
      (await client.listAppsToLaunch({})).runIds;
    expect(await listed(only.serverApps)).toContain(app);
    expect(await listed(only.serverApps)).not.toContain(simulation);
    expect(await listed(only.simulations)).toContain(simulation);
    expect(await listed(only.simulations)).not.toContain(app);
    expect((await only.serverApps.requestToken({ runId: simulation })).token).toBe("");
    expect((await only.simulations.requestToken({ runId: app })).token).toBe("");
    expect((await only.serverApps.requestToken({ runId: 5n })).token, "unknown").toBe("");
    expect((await only.simulations.requestToken({ runId: simulation })).token).toHaveLength(256);
    expect((await only.serverApps.requestToken({ runId: app })).token).toHaveLength(256);
  });

  it("does not reach the RPCs of apps", async () => {
    for (const method of ServerAppIo.methods.filter((one) => !launching.includes(one))) {
      expect((await raw.call(method, headersWith(method))).status, method.name).toBe(
        unauthenticated,
      );
    }
  });
});

describe("an app's token, where SuperExecs must sign", () => {
  it("looks at its own run, all of it, and at no other", async () => {
    const { runIds } = await world.control.startRuns({
      fab: fabBytes,
      overrideConfig: { rounds: { scalar: { case: "sint64", value: 3n } } },
    });
    const runId = runIds[0] ?? 0n;
    const token = parseToken((await superExec(launcher).requestToken({ runId })).token);
    const app = createPartialClient(
      signedServerAppIoPolicy,
      transportTo(createGrpcTransport, { baseUrl: world.link.serverAppIoUrl }),
      { appToken: token },
    );
    const { run } = await app.getRun({ runId });
    expect(run?.overrideConfig.rounds?.scalar.value).toBe(3n);
    expect((await app.getRun({})).run, "that is named by nobody").toEqual(run);
    const other = await world.pendingRun();
    expect(await failureOf(app.getRun({ runId: other }))).toMatchObject({
      code: Code.PermissionDenied,
    });

    const request = toBinary(GetRunRequestSchema, create(GetRunRequestSchema, { runId }));
    const tokenHeader = { "flwr-app-token": token };
    const alone = await raw.call(getRun, tokenHeader, request);
    expect(alone.status).toBe("0");
    const both = await raw.call(getRun, { ...headersWith(getRun), ...tokenHeader }, request);
    expect(both.status, "exactly one credential").toBe(unauthenticated);
    const half = { ...tokenHeader, [timeHeader]: timeAt(0) };
    expect((await raw.call(getRun, half, request)).status).toBe(unauthenticated);
    for (const method of [listAppsToLaunch, requestToken]) {
      expect((await raw.call(method, tokenHeader)).status).toBe(unauthenticated);
    }
  });
});

describe("on a SuperNode's ClientAppIo", () => {
  it("SuperExecs sign as on ServerAppIo, with keys for ClientApps", async () => {
    await using node = await testNode();
    const server = await serve({
      services: [signedClientAppIoService({ apps: node.apps, authority: node.authority })],
      verifiers: {
        appToken: node.authority.verifier,
        superExecKey: createSuperExecVerifier({
          publicKeys: [
            { publicKey: pemOf(clientApps), allowedPlugins: ["clientapp"] },
            { publicKey: pemOf(serverApps), allowedPlugins: ["serverapp", "simulation"] },
          ],
        }),
      },
      port: 0,
    });
    try {
      const transport = transportTo(createGrpcTransport, { baseUrl: server.url });
      const as = (key: KeyObject) =>
        createPartialClient(signedClientAppIoPolicy, transport, {
          superExecKey: signAsSuperExec(key),
        });
      await node.deliver(3n);
      expect((await as(clientApps).listAppsToLaunch({})).runIds).toEqual([3n]);
      expect((await as(clientApps).getRun({ runId: 3n })).run?.runId).toBe(3n);
      for (const key of [serverApps, launcher]) {
        expect(await failureOf(as(key).listAppsToLaunch({}))).toEqual(refused);
        expect(await failureOf(as(key).requestToken({ runId: 3n }))).toEqual(refused);
        expect(await failureOf(as(key).getRun({ runId: 3n }))).toEqual(refused);
      }
      const nobody = createPartialClient(signedClientAppIoPolicy, transport, {});
      expect(Object.keys(nobody)).toEqual([]);
      const token = parseToken((await as(clientApps).requestToken({ runId: 3n })).token);
      const app = createPartialClient(signedClientAppIoPolicy, transport, { appToken: token });
      expect((await app.getRun({})).run?.runId).toBe(3n);
      const failure = await failureOf(app.getRun({ runId: 4n }));
      expect(failure.code).toBe(Code.PermissionDenied);
    } finally {
      await server.close();
    }
  });
});
