/**
 * The matrix on every service of a real SuperLink and of real SuperNodes, with
 * live, expired and revoked credentials of theirs. `npm test` speaks two
 * protocols; `npm run test:attack` all of them, in every combination.
 */
import { createGrpcTransport } from "@connectrpc/connect-node";
import { healthPolicy } from "countersign/serve";
import { attackTests, type CredentialMaterials, formatReport } from "countersign/testing";
import { afterAll, describe, expect, it } from "vitest";
import { signAsSuperExec } from "../../src/appio/credentials/super-exec-signer.ts";
import { signAsSuperNode } from "../../src/appio/credentials/super-node-signer.ts";
import { contentsOf } from "../../src/appio/objects/deflate.ts";
import {
  clientAppIoPolicy,
  controlPolicy,
  fleetPolicy,
  serverAppIoPolicy,
  signedClientAppIoPolicy,
  signedServerAppIoPolicy,
} from "../../src/appio/policy.ts";
import { startSuperNode } from "../../src/appio/supernode/supernode.ts";
import { transportTo } from "../../src/client/located-transport.ts";
import { createPartialClient } from "../../src/client/partial-client.ts";
import type { DecisionCount } from "../../src/guard/decisions.ts";
import type { AnyPolicy } from "../../src/policy/policy.ts";
import { digestToken, parseToken, type Token } from "../../src/policy/token.ts";
import type { AttackOptions } from "../../src/testing/options.ts";
import { newKey, pemOf } from "../appio/credentials/keys.ts";
import { createDrafts } from "../appio/state/drafts.ts";
import { createSuperLinkWorld, operator } from "../appio/superlink/world.ts";

const isWhole = process.env.ATTACK_BREADTH === "all";
const launcher = newKey();
const superExecAuth = { publicKeys: [{ publicKey: pemOf(launcher) }] };

const opened = new AsyncDisposableStack();
afterAll(() => opened.disposeAsync());

type Options = Partial<Parameters<typeof createSuperLinkWorld>[0]>;
type World = Awaited<ReturnType<typeof createSuperLinkWorld>>;

async function openWorld(options: Options = {}): Promise<World> {
  return opened.use(await createSuperLinkWorld(options));
}

const allowed = (counts: readonly DecisionCount[]) =>
  counts.reduce((sum, count) => sum + count.allowed, 0);

/** Claims a run as whoever may launch, and lets its app start. */
async function launch(world: World, isSigned: boolean, isRunning = true) {
  const runId = await world.pendingRun();
  const transport = transportTo(createGrpcTransport, { baseUrl: world.link.serverAppIoUrl });
  const { token } = isSigned
    ? await createPartialClient(
        signedServerAppIoPolicy,
        transport,
        { superExecKey: signAsSuperExec(launcher) },
        { now: world.clock.now },
      ).requestToken({ runId })
    : await world.anybody.requestToken({ runId });
  const app = world.app(parseToken(token));
  if (isRunning) {
    await app.pullAppInputs({});
  }
  return { runId, token: parseToken(token), app };
}

/** A live token, one that expired, and one whose run has ended. */
async function appTokens(world: World, isSigned: boolean): Promise<CredentialMaterials> {
  const expired = await launch(world, isSigned, false);
  world.clock.advance(31);
  const ended = await launch(world, isSigned);
  await ended.app.updateRunStatus({ runStatus: { status: "finished", subStatus: "completed" } });
  const { runId, token } = await launch(world, isSigned);
  return tokenMaterial(token, runId, { expired: expired.token, revoked: ended.token });
}

function tokenMaterial(
  token: Token,
  runId: bigint,
  refused: Readonly<Record<string, Token>> = {},
): CredentialMaterials {
  const claims = { runId, tokenDigest: digestToken(token) };
  return { appToken: { live: { presented: token, claims }, refused } };
}

/** A SuperExec's signatures: live ones, too old ones, of another RPC, and by a key that is not listed. */
function superExecMaterial(now: () => number): CredentialMaterials {
  const sign = signAsSuperExec(launcher);
  const stranger = signAsSuperExec(newKey());
  const other = serverAppIoPolicy.service.method.getNodes;
  return {
    superExecKey: {
      live: {
        presented: ({ method }) => sign({ method, now }),
        claims: { keyFingerprint: "", launchesServerApps: true, launchesSimulations: true },
      },
      refused: {
        "too old": ({ method }) => sign({ method, now: () => now() - 400_000 }),
        "of another RPC": () => sign({ method: other, now }),
        "of a stranger's key": ({ method }) => stranger({ method, now }),
      },
    },
  };
}

async function fleetMaterial(world: World): Promise<CredentialMaterials> {
  const { now } = world.clock;
  const key = newKey();
  const fleet = world.fleet(key);
  await fleet.registerNode({});
  const { nodeId } = await fleet.activateNode({ heartbeatInterval: 1800 });
  const sign = signAsSuperNode(key);
  const stranger = signAsSuperNode(newKey());
  const live: AttackSigner = ({ method }) => sign({ method, now });
  const refused: Readonly<Record<string, AttackSigner>> = {
    "too old": ({ method }) => sign({ method, now: () => now() - 400_000 }),
    "by another key": async ({ method }) => ({
      ...(await sign({ method, now })),
      "flwr-signature-bin": (await stranger({ method, now }))["flwr-signature-bin"],
    }),
  };
  const unregistered: AttackSigner = ({ method }) => stranger({ method, now });
  return {
    superNodeKey: {
      live: { presented: live, claims: { publicKey: Buffer.from(pemOf(key)) } },
      refused,
    },
    superNode: {
      live: { presented: live, claims: { nodeId } },
      refused: { ...refused, "by a key that is not registered": unregistered },
    },
  };
}

type AttackSigner = ReturnType<typeof signAsSuperNode>;

/** A SuperNode with one message of a run on it, and the token of that run's ClientApp. */
async function clientApp(isSigned: boolean) {
  const world = await openWorld(isSigned ? { superExecAuth } : {});
  const { clock, link, state } = world;
  const node = await startSuperNode({
    fleet: link.fleetUrl,
    clientAppIoPort: 0,
    pollIntervalMs: 10,
    now: clock.now,
    ...(isSigned ? { superExecAuth } : {}),
  });
  opened.defer(() => node.close());
  const { runId } = await launch(world, isSigned);
  const draft = createDrafts(clock.now).instruction(runId, node.nodeId);
  await state.instructions.push(runId, [draft.message], [draft.tree]);
  for (const [id, content] of contentsOf(draft.object)) {
    await state.objects.put(runId, id, content);
  }
  const launches = createPartialClient(
    signedClientAppIoPolicy,
    transportTo(createGrpcTransport, { baseUrl: node.clientAppIoUrl }),
    { superExecKey: signAsSuperExec(launcher) },
    { now: clock.now },
  );
  await expect
    .poll(async () => (await launches.listAppsToLaunch({})).runIds, { timeout: 20_000 })
    .toContain(runId);
  const token = parseToken((await launches.requestToken({ runId })).token);
  return {
    url: node.clientAppIoUrl,
    countHandlerRuns: () => allowed(node.counters()),
    credentials: {
      ...tokenMaterial(token, runId),
      ...(isSigned ? superExecMaterial(clock.now) : {}),
    },
  };
}

/** A service of a SuperLink that nobody else calls meanwhile. */
async function ofSuperLink(
  urlOf: (link: World["link"]) => string,
  materials: (world: World) => Promise<CredentialMaterials> | CredentialMaterials,
  options: Options = {},
) {
  const world = await openWorld(options);
  return {
    url: urlOf(world.link),
    credentials: await materials(world),
    countHandlerRuns: () => allowed(world.link.counters()),
  };
}

type Target = Omit<AttackOptions, "policies">;

const services: readonly (readonly [string, AnyPolicy, () => Promise<Target>])[] = [
  [
    "ServerAppIo",
    serverAppIoPolicy,
    () =>
      ofSuperLink(
        ({ serverAppIoUrl }) => serverAppIoUrl,
        (world) => appTokens(world, false),
      ),
  ],
  [
    "ServerAppIo for SuperExecs that sign",
    signedServerAppIoPolicy,
    () =>
      ofSuperLink(
        ({ serverAppIoUrl }) => serverAppIoUrl,
        async (world) => ({
          ...(await appTokens(world, true)),
          ...superExecMaterial(world.clock.now),
        }),
        { superExecAuth },
      ),
  ],
  ["Fleet", fleetPolicy, () => ofSuperLink(({ fleetUrl }) => fleetUrl, fleetMaterial)],
  [
    "Control",
    controlPolicy,
    () =>
      ofSuperLink(
        ({ controlUrl }) => controlUrl,
        () => ({ operatorToken: { live: { presented: operator, claims: {} } } }),
      ),
  ],
  ["ClientAppIo", clientAppIoPolicy, () => clientApp(false)],
  ["ClientAppIo for SuperExecs that sign", signedClientAppIoPolicy, () => clientApp(true)],
];

const sum = { calls: 0, rpcs: 0 };

for (const [name, policy, open] of services) {
  attackTests(
    { describe, it, afterAll },
    {
      name: `${name} under attack`,
      policies: [policy, healthPolicy],
      target: async () => ({
        ...(await open()),
        breadth: isWhole ? "all" : "pairs",
        ...(isWhole ? {} : { protocols: ["gRPC", "Connect JSON"] }),
      }),
      onReport: (report) => {
        sum.calls += report.calls;
        sum.rpcs += report.rows.filter(({ rule }) => rule !== "none").length;
        console.log(isWhole ? formatReport(report) : `${name}: ${report.calls} calls`);
        expect(report).toMatchObject({ findings: [], notSpoken: [], skipped: 0 });
      },
    },
  );
}

it("has run every RPC of every service", () => {
  const rpcs = services.map(([, { service }]) => service.methods.length + 2);
  expect(sum.rpcs).toBe(rpcs.reduce((all, count) => all + count, 0));
  console.log(`attack: ${sum.calls} calls of ${sum.rpcs} RPCs of ${services.length} servers`);
});
