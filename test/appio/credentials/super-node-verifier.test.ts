import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { Fleet } from "../../../gen/flwr/proto/fleet_pb.ts";
import { signAsSuperNode } from "../../../src/appio/credentials/super-node-signer.ts";
import {
  createSuperNodeVerifiers,
  type SuperNodeVerifierOptions,
} from "../../../src/appio/credentials/super-node-verifier.ts";
import { SqlError } from "../../../src/authority/sql-error.ts";
import { storeUnavailable } from "../../../src/policy/verifier.ts";
import { createClock } from "../state/world.ts";
import { newKey, pemOf } from "./keys.ts";
import vectors from "./python-vectors.json" with { type: "json" };

const key = newKey();
const method = Fleet.method.pullMessages;
const { signal } = new AbortController();
const call = { method, signal, timeoutMs: 5_000, isRecheck: false, isProbe: false };
const again = { method, signal, timeoutMs: 5_000, isRecheck: true, isProbe: false };

function start(options: Partial<SuperNodeVerifierOptions> = {}) {
  const clock = createClock();
  const registered = new Map([[pemOf(key), 7n]]);
  const asked: string[] = [];
  const verifiers = createSuperNodeVerifiers({
    findNode: async (publicKey) => {
      const pem = Buffer.from(publicKey).toString();
      asked.push(pem);
      return registered.get(pem);
    },
    now: clock.now,
    ...options,
  });
  const sign = async (signer = key) => signAsSuperNode(signer)({ method, now: clock.now });
  return { ...verifiers, clock, registered, asked, sign };
}

describe("the verifiers of SuperNodes", () => {
  it("accept what Python's cryptography has signed", async () => {
    for (const { pem, timestamp, nodeSignature } of vectors) {
      const presented = {
        "flwr-public-key-bin": Buffer.from(pem),
        "flwr-signature-bin": Buffer.from(nodeSignature, "hex"),
        "flwr-timestamp": timestamp,
      };
      expect(await start().superNodeKey(presented, call)).toEqual({ publicKey: Buffer.from(pem) });
    }
  });

  it("prove a key, or the node that is registered for it", async () => {
    const { superNodeKey, superNode, sign } = start();
    const presented = await sign();
    expect(await superNodeKey(presented, call)).toEqual({ publicKey: Buffer.from(pemOf(key)) });
    expect(await superNode(presented, call)).toEqual({ nodeId: 7n });
    expect(await superNode(await sign(newKey()), call)).toMatchObject({
      reason: "no node is registered for the key",
    });
  });

  const gone = new SqlError("the database is unavailable: ECONNREFUSED", "unavailable");
  const forCallers = new ConnectError("Down.", Code.Unavailable, undefined, undefined, gone);

  it.each([
    ["the database's own error", gone],
    ["the error that the state makes of it", forCallers],
  ])("say that the state is down, and what the database said: %s", async (_what, thrown) => {
    let asked = 0;
    const findNode = async () => {
      asked += 1;
      throw thrown;
    };
    const { superNode, superNodeKey, sign } = start({ findNode });
    const presented = await sign();
    expect(await superNode(presented, { ...call, timeoutMs: 200 })).toEqual(storeUnavailable(gone));
    expect(asked).toBeGreaterThan(1);
    expect(await superNodeKey(presented, call)).toHaveProperty("publicKey");
  });

  it("say so of nobody who has not signed, and of no other failure", async () => {
    const failures: unknown[] = [gone, new ConnectError("No.", Code.Internal)];
    const findNode = async () => {
      throw failures.pop();
    };
    const { superNode, sign } = start({ findNode });
    const presented = await sign();
    await expect(superNode(presented, call)).rejects.toMatchObject({ code: Code.Internal });
    const forged = { ...presented, "flwr-signature-bin": Buffer.alloc(70, 0x30) };
    expect(await superNode(forged, call)).toMatchObject({ reason: "the signature is wrong" });
    expect(failures).toEqual([gone]);
  });

  it("ask the state every time, and only for what was signed", async () => {
    const { superNode, sign, asked, registered } = start();
    const presented = await sign();
    const forged = { ...presented, "flwr-signature-bin": Buffer.alloc(70, 0x30) };
    expect(await superNode(forged, call)).toMatchObject({ reason: "the signature is wrong" });
    expect(asked).toEqual([]);
    expect(await superNode(presented, call)).toEqual({ nodeId: 7n });
    registered.clear();
    expect(await superNode(presented, call)).toMatchObject({
      reason: "no node is registered for the key",
    });
    expect(asked).toHaveLength(2);
  });

  it("let a call that was accepted go on, until its node is gone", async () => {
    const { clock, superNode, sign, registered } = start();
    const presented = await sign();
    clock.advance(1_000);
    expect(await superNode(presented, call)).toMatchObject({
      reason: "the signature is not fresh",
    });
    expect(await superNode(presented, again)).toEqual({ nodeId: 7n });
    registered.clear();
    expect(await superNode(presented, again)).toMatchObject({
      reason: "no node is registered for the key",
    });
  });

  it("accept known keys only, where there are some", async () => {
    const { superNodeKey, superNode, sign } = start({ knownKeys: [pemOf(newKey())] });
    const presented = await sign();
    for (const verify of [superNodeKey, superNode]) {
      expect(await verify(presented, call)).toMatchObject({ reason: "the key is not known" });
    }
    const nobody = start({ knownKeys: [] });
    expect(await nobody.superNodeKey(presented, call)).toMatchObject({
      reason: "the key is not known",
    });
  });

  it("are not made with a known key that is none", () => {
    const findNode = async () => undefined;
    const knownKeys = [pemOf(key), "AAAA"];
    expect(() => createSuperNodeVerifiers({ findNode, knownKeys })).toThrow(
      '"knownKeys": key 2 must be a public EC key on a NIST curve',
    );
  });
});
