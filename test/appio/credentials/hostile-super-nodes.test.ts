import { generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import type { DescMethod } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Fleet } from "../../../gen/flwr/proto/fleet_pb.ts";
import { contentsOf } from "../../../src/appio/objects/deflate.ts";
import { createDrafts } from "../state/drafts.ts";
import { createSuperLinkWorld, failureOf } from "../superlink/world.ts";
import { newKey, pemOf } from "./keys.ts";
import { binary, openRaw, type RawConnection, type RawHeaders } from "./raw-grpc.ts";

type World = Awaited<ReturnType<typeof createSuperLinkWorld>>;

const key = newKey();
const unauthenticated = String(Code.Unauthenticated);
const denied = { code: Code.PermissionDenied, text: "Permission denied." };

let world: World;
let raw: RawConnection;
let nodeId: bigint;
beforeAll(async () => {
  world = await createSuperLinkWorld();
  raw = openRaw(world.link.fleetUrl);
  ({ nodeId } = await world.fleet(key).registerNode({}));
});
afterAll(async () => {
  raw[Symbol.dispose]();
  await world.link.close();
});

/** What is not as it should be about a call. */
interface Flaw {
  readonly key?: KeyObject;
  /** The key that is shown, if it is not the one that signs. */
  readonly shown?: string | Uint8Array;
  readonly timestamp?: string;
  /** What is signed, if it is not the timestamp. */
  readonly signed?: string;
  readonly signature?: Uint8Array;
  /** Headers in place of those that follow from the above. */
  readonly headers?: Readonly<Record<string, string | readonly string[] | undefined>>;
}

/** The time of the server, moved by some seconds, as Python writes it. */
function timeAt(seconds: number): string {
  return new Date(world.clock.now() + seconds * 1_000).toISOString().replace("Z", "000+00:00");
}

function headersWith(flaw: Flaw): RawHeaders {
  const signer = flaw.key ?? key;
  const timestamp = flaw.timestamp ?? timeAt(0);
  const signature =
    flaw.signature ?? sign("sha256", Buffer.from(flaw.signed ?? timestamp, "latin1"), signer);
  const headers = {
    "flwr-public-key-bin": binary(flaw.shown ?? pemOf(signer)),
    "flwr-signature-bin": binary(signature),
    "flwr-timestamp": timestamp,
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

const names = ["flwr-public-key-bin", "flwr-signature-bin", "flwr-timestamp"] as const;
const spki = { type: "spki", format: "pem" } as const;
const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
const ed25519 = generateKeyPairSync("ed25519");
const pem = pemOf(key);

/** Flaws that are refused on every RPC, by their names. Functions, for the server's clock is known late. */
const flaws: Readonly<Record<string, () => Flaw>> = {
  "no header": () => ({ headers: Object.fromEntries(names.map((name) => [name, undefined])) }),
  ...Object.fromEntries(
    names.flatMap((name): [string, () => Flaw][] => [
      [`no ${name}`, () => ({ headers: { [name]: undefined } })],
      [
        `nothing but ${name}`,
        () => ({
          headers: Object.fromEntries(
            names.filter((other) => other !== name).map((other) => [other, undefined]),
          ),
        }),
      ],
      [`an empty ${name}`, () => ({ headers: { [name]: "" } })],
      [`${name} twice, the same`, () => twice(name, (value) => value)],
      [`${name} twice, the second wrong`, () => twice(name, (value) => `${value.slice(0, -1)}A`)],
      [`${name} joined with a comma`, () => joined(name)],
      [`4 KB of garbage as ${name}`, () => ({ headers: { [name]: "A".repeat(4_000) } })],
      [`no base64 as ${name}`, () => ({ headers: { [name]: "*!*" } })],
    ]),
  ),
  "the timestamp as bytes": () => ({
    headers: { "flwr-timestamp": undefined, "flwr-timestamp-bin": binary(timeAt(0)) },
  }),
  "another key's signature": () => ({ key: newKey(), shown: pem }),
  "a signature on another curve": () => ({ key: newKey("P-384"), shown: pem }),
  "an RSA key": () => ({ key: rsa.privateKey, shown: rsa.publicKey.export(spki).toString() }),
  "an Ed25519 key": () => ({
    shown: ed25519.publicKey.export(spki).toString(),
    signature: sign(null, Buffer.from(timeAt(0)), ed25519.privateKey),
  }),
  "a key on secp256k1": () => ({ key: newKey("secp256k1") }),
  "a private key": () => ({ shown: key.export({ type: "pkcs8", format: "pem" }).toString() }),
  "a key in DER": () => ({ shown: Buffer.from(pem.split("\n").slice(1, -2).join(""), "base64") }),
  "another spelling of the key": () => ({ shown: `${pem}\n` }),
  "the key twice in one header": () => ({ shown: pem + pem }),
  "3 KB of PEM": () => ({ shown: pem.replace("-----END", `${"A".repeat(2_600)}\n-----END`) }),
  "garbage in PEM": () => ({ shown: pem.replace(/M.{20}/, "AAAAAAAAAAAAAAAAAAAAA") }),
  "an empty signature in DER": () => ({ signature: Buffer.from("3000", "hex") }),
  "a signature of zeros": () => ({ signature: Buffer.from("3006020100020100", "hex") }),
  "garbage for a signature": () => ({ signature: Buffer.alloc(70, 0x30) }),
  "a signature that is no DER": () => ({
    signature: sign("sha256", Buffer.from(timeAt(0)), { key, dsaEncoding: "ieee-p1363" }),
  }),
  "a signature with a byte too many": () => ({
    signature: Buffer.concat([sign("sha256", Buffer.from(timeAt(0)), key), Buffer.from([0])]),
  }),
  "a signature of another digest": () => ({
    signature: sign("sha384", Buffer.from(timeAt(0)), key),
  }),
  "a signature of another time": () => ({ signed: timeAt(-1) }),
  "a signature of nothing": () => ({ signed: "" }),
  "a signature for a SuperExec": () => ({ signed: `${timeAt(0)}\n/flwr.proto.Fleet/GetRun` }),
  "a time 305 s ago": () => ({ timestamp: timeAt(-305) }),
  "a time 306 s ago": () => ({ timestamp: timeAt(-306) }),
  "a time of last year": () => ({ timestamp: timeAt(-31_536_000) }),
  "a time 5 s ahead": () => ({ timestamp: timeAt(5) }),
  "a time 6 s ahead": () => ({ timestamp: timeAt(6) }),
  "a time without offset": () => ({ timestamp: timeAt(0).replace("+00:00", "") }),
  "a time with a small z": () => ({ timestamp: timeAt(0).replace("+00:00", "z") }),
  "a time in seconds": () => ({ timestamp: String(world.clock.now() / 1_000) }),
  "a time in words": () => ({ timestamp: "now" }),
  "a time that is none": () => ({ timestamp: "2026-99-99T99:99:99+00:00" }),
};

function twice(name: string, change: (value: string) => string): Flaw {
  const value = String(headersWith({})[name]);
  return { headers: { [name]: [value, change(value)] } };
}

function joined(name: string): Flaw {
  const value = String(headersWith({})[name]);
  return { headers: { [name]: `${value},${value}` } };
}

const introductions: readonly DescMethod[] = [Fleet.method.registerNode, Fleet.method.activateNode];
/** The RPCs of registered nodes; the one with which they leave comes last. */
const others = Fleet.methods
  .filter((method) => !introductions.includes(method) && method !== Fleet.method.unregisterNode)
  .concat(Fleet.method.unregisterNode);

function allowed(): number {
  return world.link
    .counters()
    .filter(({ service }) => service === Fleet.typeName)
    .reduce((sum, count) => sum + count.allowed, 0);
}

describe("on every RPC of Fleet", () => {
  it.each(Object.keys(flaws))("%s is the one refusal", async (name) => {
    const before = allowed();
    const headers = headersWith(flaws[name]?.() ?? {});
    const answers = await Promise.all(Fleet.methods.map((method) => raw.call(method, headers)));
    const [reference] = await Promise.all([raw.call(Fleet.method.getRun, {})]);
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => unauthenticated));
    expect(new Set(answers.map(({ everything }) => everything))).toEqual(
      new Set([reference.everything]),
    );
    expect(allowed(), "no handler has run").toBe(before);
  });

  it("a signature as Flower makes it passes, on every curve of NIST's", async () => {
    for (const curve of ["P-192", "P-224", "P-256", "P-384", "P-521"]) {
      const one = newKey(curve);
      await world.fleet(one).registerNode({});
      for (const method of others) {
        const { status } = await raw.call(method, headersWith({ key: one }));
        expect(status, `${method.name} on ${curve}`).not.toBe(unauthenticated);
      }
    }
  });

  it.each<[string, () => Flaw]>([
    ["304 s old", () => ({ timestamp: timeAt(-304) })],
    ["4 s ahead", () => ({ timestamp: timeAt(4) })],
    ["of a clock in another zone", () => ({ timestamp: zoned(timeAt(7_200)) })],
    ["with Z", () => ({ timestamp: timeAt(0).replace("+00:00", "Z") })],
  ])("a signature may be %s", async (_name, flaw) => {
    const { status } = await raw.call(Fleet.method.pullMessages, headersWith(flaw()));
    expect(status).toBe("0");
  });

  it("a signature is good again while it is fresh, as with Flower, and not afterwards", async () => {
    const headers = headersWith({});
    const call = async () => (await raw.call(Fleet.method.pullMessages, headers)).status;
    expect([await call(), await call()]).toEqual(["0", "0"]);
    world.clock.advance(306);
    expect(await call()).toBe(unauthenticated);
  });
});

/** The same instant by a clock two hours ahead. */
function zoned(timestamp: string): string {
  return timestamp.replace("+00:00", "+02:00");
}

describe("a key that no node is registered for", () => {
  it("introduces itself and does nothing else", async () => {
    const headers = headersWith({ key: newKey() });
    for (const method of others) {
      expect((await raw.call(method, headers)).status, method.name).toBe(unauthenticated);
    }
    const activation = await raw.call(Fleet.method.activateNode, headers);
    expect(activation.status).not.toBe(unauthenticated);
    expect((await raw.call(Fleet.method.registerNode, headers)).status).toBe("0");
  });

  it("is refused as soon as its node is unregistered", async () => {
    const leaving = newKey();
    const fleet = world.fleet(leaving);
    const { nodeId } = await fleet.registerNode({});
    await fleet.unregisterNode({ nodeId });
    const reference = await raw.call(Fleet.method.getRun, {});
    for (const method of others) {
      expect(await raw.call(method, headersWith({ key: leaving })), method.name).toEqual(reference);
    }
  });
});

describe("a node", () => {
  it("cannot introduce itself with another's key", async () => {
    const fleet = world.fleet(newKey());
    const publicKey = Buffer.from(pem);
    expect(await failureOf(fleet.registerNode({ publicKey }))).toEqual(denied);
    expect(await failureOf(fleet.activateNode({ publicKey, heartbeatInterval: 30 }))).toEqual(
      denied,
    );
    const own = newKey();
    await world.fleet(own).registerNode({ publicKey: Buffer.from(pemOf(own)) });
  });

  it("cannot call as another node, on any RPC, and nothing is read or changed", async () => {
    const { runId } = await world.runningRun();
    const drafts = createDrafts(world.clock.now);
    const victim = await world.onlineNode();
    const { fleet } = await world.onlineNode();
    const instruction = drafts.instruction(runId, victim.nodeId);
    await world.state.instructions.push(runId, [instruction.message], [instruction.tree]);
    for (const [objectId, content] of contentsOf(instruction.object)) {
      await world.state.objects.put(runId, objectId, content);
    }
    const reply = drafts.reply(instruction);
    const node = { nodeId: victim.nodeId };
    const theirs = { messagesList: [reply.message], messageObjectTrees: [reply.tree] };
    const objectId = instruction.id;
    for (const call of [
      () => fleet.deactivateNode(node),
      () => fleet.unregisterNode(node),
      () => fleet.sendNodeHeartbeat({ node, heartbeatInterval: 1800 }),
      () => fleet.pullMessages({ node }),
      () => fleet.pushMessages({ ...theirs, node }),
      () => fleet.pushMessages(theirs),
      () => fleet.getRun({ node, runId }),
      () => fleet.getFab({ node, runId }),
      () => fleet.pushObject({ node, runId, objectId }),
      () => fleet.pullObject({ node, runId, objectId }),
      () => fleet.confirmMessageReceived({ node, runId, messageObjectId: objectId }),
    ]) {
      expect(await failureOf(call()), String(call)).toEqual(denied);
    }
    const pulled = await victim.fleet.pullMessages({ node });
    expect(pulled.messagesList, "still waits for the node").toEqual([instruction.message]);
    const pushed = await victim.fleet.pushMessages(theirs);
    expect(pushed.results, "not answered by the other").toEqual({ [reply.id]: 0 });
  });

  it("that names no node is itself", async () => {
    const { nodeId, fleet } = await world.onlineNode();
    expect(await world.state.nodes.listOnline()).toContain(nodeId);
    await fleet.deactivateNode({});
    expect(await world.state.nodes.listOnline()).not.toContain(nodeId);
    expect((await fleet.sendNodeHeartbeat({ heartbeatInterval: 30 })).success).toBe(true);
    expect(await world.state.nodes.listOnline()).toContain(nodeId);
  });
});

it("the node of these tests is registered all the time", async () => {
  expect(await world.state.nodes.idOf(Buffer.from(pem))).toBe(nodeId);
});
