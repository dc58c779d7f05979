import { describe, expect, it } from "vitest";
import { ServerAppIo } from "../../../gen/flwr/proto/serverappio_pb.ts";
import type { SuperExecPlugin } from "../../../src/appio/credentials/super-exec-keys.ts";
import { signAsSuperExec } from "../../../src/appio/credentials/super-exec-signer.ts";
import {
  createSuperExecVerifier,
  type SuperExecVerifierOptions,
} from "../../../src/appio/credentials/super-exec-verifier.ts";
import { createClock } from "../state/world.ts";
import { newKey, pemOf } from "./keys.ts";
import vectors from "./python-vectors.json" with { type: "json" };

const key = newKey();
const method = ServerAppIo.method.requestToken;
const { signal } = new AbortController();
const call = { method, signal, timeoutMs: 5_000, isRecheck: false, isProbe: false };
const again = { method, signal, timeoutMs: 5_000, isRecheck: true, isProbe: false };

function start(options: Partial<SuperExecVerifierOptions> = {}) {
  const clock = createClock();
  const publicKeys = [{ publicKey: pemOf(key) }];
  const verify = createSuperExecVerifier({ publicKeys, now: clock.now, ...options });
  const sign = async (signer = key) => signAsSuperExec(signer)({ method, now: clock.now });
  return { clock, verify, sign };
}

const proved = { launchesServerApps: true, launchesSimulations: true };

describe("the verifier of SuperExecs", () => {
  it("accepts what Python's cryptography has signed", async () => {
    for (const { pem, timestamp, superExecSignature } of vectors) {
      const { verify } = start({ publicKeys: [{ publicKey: pem }] });
      const presented = {
        "flwr-superexec-public-key-bin": Buffer.from(pem),
        "flwr-superexec-signature-bin": Buffer.from(superExecSignature, "hex"),
        "flwr-superexec-timestamp": timestamp,
      };
      expect(await verify(presented, call)).toMatchObject(proved);
    }
  });

  it("lets a call that it has accepted go on, however long it takes", async () => {
    const { clock, verify, sign } = start();
    const presented = await sign();
    expect(await verify(presented, call)).toMatchObject(proved);
    expect(await verify(presented, again)).toMatchObject(proved);
    clock.advance(1_000);
    expect(await verify(presented, again)).toMatchObject(proved);
    expect(await verify(presented, call)).toMatchObject({ reason: "the signature is not fresh" });
  });

  it("says to operators why it refuses", async () => {
    const { clock, verify, sign } = start();
    const presented = await sign();
    await verify(presented, call);
    expect(await verify(presented, call)).toMatchObject({ reason: "replayed" });
    expect(await verify(await sign(newKey()), call)).toMatchObject({
      reason: "the key is not listed",
    });
    const wrong = { ...(await sign()), "flwr-superexec-timestamp": "2026-11-23T00:00:00.001Z" };
    expect(await verify(wrong, call)).toMatchObject({ reason: "the signature is wrong" });
    const late = await sign();
    clock.advance(305);
    expect(await verify(late, call)).toMatchObject({ reason: "the signature is not fresh" });
  });

  it("takes the operator's tolerance", async () => {
    const { clock, verify, sign } = start({ clockToleranceSeconds: 10 });
    const [first, second] = [await sign(), await sign()];
    clock.advance(14.9);
    expect(await verify(first, call)).toMatchObject(proved);
    clock.advance(0.1);
    expect(await verify(second, call)).toMatchObject({ reason: "the signature is not fresh" });
  });

  it("refuses more calls of one key than it can remember, until it may forget them", async () => {
    const other = newKey();
    const publicKeys = [{ publicKey: pemOf(key) }, { publicKey: pemOf(other) }];
    const options = { publicKeys, maxSignaturesPerKey: 2, clockToleranceSeconds: 10 };
    const { clock, verify, sign } = start(options);
    expect(await verify(await sign(), call)).toMatchObject(proved);
    expect(await verify(await sign(), call)).toMatchObject(proved);
    expect(await verify(await sign(), call)).toMatchObject({
      reason: "the key has made too many calls",
    });
    expect(await verify(await sign(other), call), "another key").toMatchObject(proved);
    clock.advance(20);
    expect(await verify(await sign(), call)).toMatchObject(proved);
  });

  it("accepts a signature once, also when the clock goes back after it was forgotten", async () => {
    const { clock, verify, sign } = start();
    const captured = await sign();
    expect(await verify(captured, call)).toMatchObject(proved);
    clock.advance(400);
    expect(await verify(await sign(), call), "forgets the first").toMatchObject(proved);
    clock.advance(-300);
    expect(await verify(captured, call)).toMatchObject({
      reason: "the clock has gone back to signatures that are forgotten",
    });
    expect(await verify(await sign(), call), "a new one").toMatchObject(proved);
    clock.advance(-101);
    const beforeAll = await sign();
    expect(await verify(beforeAll, call)).toMatchObject({
      reason: "the clock has gone back to signatures that are forgotten",
    });
    expect(await start().verify(beforeAll, call), "after a restart").toMatchObject(proved);
  });

  it("does not remember what it has refused", async () => {
    const { verify, sign } = start({ maxSignaturesPerKey: 1 });
    const presented = await sign();
    const forged = { ...presented, "flwr-superexec-signature-bin": Buffer.alloc(70, 0x30) };
    for (let i = 0; i < 5; i++) {
      expect(await verify(forged, call)).toMatchObject({ reason: "the signature is wrong" });
    }
    expect(await verify(presented, call)).toMatchObject(proved);
  });

  it("knows a key in whichever format, and joins what its entries allow", async () => {
    const { pem, openSshPublic = "", pkcs8 } = vectors[2] ?? vectors[0] ?? fail();
    const entry = (publicKey: string, plugin: SuperExecPlugin) => ({
      publicKey,
      allowedPlugins: [plugin],
    });
    const one = start({ publicKeys: [entry(openSshPublic, "simulation")] });
    const { readPrivateKey } = await import("../../../src/appio/credentials/private-key.ts");
    const signer = readPrivateKey(pkcs8, "the vector");
    expect(await one.verify(await one.sign(signer), call)).toMatchObject({
      launchesServerApps: false,
      launchesSimulations: true,
    });
    const publicKeys = [entry(openSshPublic, "simulation"), entry(pem, "serverapp")];
    const both = start({ publicKeys });
    expect(await both.verify(await both.sign(signer), call)).toMatchObject(proved);
  });
});

function fail(): never {
  throw new Error("there are vectors");
}

describe("the verifier of SuperExecs is not made", () => {
  const publicKey = pemOf(key);
  it.each<[string, object, string]>([
    ["without a key", { publicKeys: [] }, '"publicKeys" must list at least one public key'],
    ["with no list", { publicKeys: undefined }, '"publicKeys" must list at least one public key'],
    [
      "with a key that is none",
      { publicKeys: [{ publicKey }, { publicKey: "AAAA" }] },
      '"publicKeys": key 2 must be a public EC key',
    ],
    [
      "with a private key",
      {
        publicKeys: [{ publicKey: key.export({ type: "pkcs8", format: "pem" }).toString() }],
      },
      '"publicKeys": key 1 must be a public EC key',
    ],
    [
      "with an unknown plugin",
      { publicKeys: [{ publicKey, allowedPlugins: ["superlink"] }] },
      '"publicKeys": key 1 must be allowed some of the plugins serverapp, simulation, clientapp',
    ],
    [
      "with no plugin",
      { publicKeys: [{ publicKey, allowedPlugins: [] }] },
      '"publicKeys": key 1 must be allowed some of the plugins',
    ],
    ...[0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY].map((value): [string, object, string] => [
      `with a tolerance of ${value}`,
      { publicKeys: [{ publicKey }], clockToleranceSeconds: value },
      '"clockToleranceSeconds" must be a positive whole number',
    ]),
    [
      "with no memory",
      { publicKeys: [{ publicKey }], maxSignaturesPerKey: 0 },
      '"maxSignaturesPerKey" must be a positive whole number',
    ],
  ])("%s", (_name, options, message) => {
    const make = () => createSuperExecVerifier(options as SuperExecVerifierOptions);
    expect(make).toThrow(TypeError);
    expect(make).toThrow(message);
  });
});
