import { Code } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { createWorld } from "./world.ts";

const key = new Uint8Array([1, 2, 3]);
const otherKey = new Uint8Array([4, 5, 6]);

describe("nodes", () => {
  it("case 35: are online for two heartbeat intervals", async () => {
    await using world = await createWorld();
    const { nodes } = world.state;
    const first = await nodes.register(key);
    const second = await nodes.register(otherKey);
    expect(await nodes.listOnline(), "registered is not online").toEqual([]);
    expect(await nodes.heartbeat(first, 30)).toBe(true);
    expect(await nodes.heartbeat(second, 90)).toBe(true);
    world.clock.advance(59.999);
    expect(new Set(await nodes.listOnline())).toEqual(new Set([first, second]));
    world.clock.advance(30.001);
    expect(await nodes.listOnline()).toEqual([second]);
  });

  it("case 41: keep a public key for ever, and register with it again only until they are first online", async () => {
    await using world = await createWorld();
    const { nodes } = world.state;
    const nodeId = await nodes.register(key);
    expect(await nodes.register(key), "its first answer may have been lost").toBe(nodeId);
    await nodes.activate(key, 30);
    const inUse = { code: Code.FailedPrecondition, rawMessage: "Public key is already in use." };
    await expect(nodes.register(key), "online").rejects.toMatchObject(inUse);
    world.clock.advance(60);
    await expect(nodes.register(key), "offline").rejects.toMatchObject(inUse);
    await nodes.unregister(nodeId);
    await nodes.unregister(await nodes.register(otherKey));
    await expect(nodes.register(otherKey), "never online").rejects.toMatchObject(inUse);
    await expect(nodes.register(key)).rejects.toMatchObject({ code: Code.FailedPrecondition });
    await expect(nodes.activate(key, 30)).rejects.toMatchObject({ code: Code.FailedPrecondition });
    await expect(nodes.register(new Uint8Array())).rejects.toMatchObject({
      code: Code.InvalidArgument,
    });
  });

  it("are found by their keys for as long as they are registered", async () => {
    await using world = await createWorld();
    const { nodes } = world.state;
    const nodeId = await nodes.register(key);
    expect(await nodes.idOf(key)).toBe(nodeId);
    expect(await nodes.idOf(otherKey)).toBeUndefined();
    await nodes.unregister(nodeId);
    expect(await nodes.idOf(key)).toBeUndefined();
  });

  it("are registered once for a key that the operator knows", async () => {
    await using world = await createWorld();
    const { nodes } = world.state;
    await nodes.registerOnce(key);
    const nodeId = await nodes.idOf(key);
    expect(nodeId).toBeGreaterThan(1n);
    await nodes.registerOnce(key);
    expect(await nodes.idOf(key)).toBe(nodeId);
    expect(await nodes.activate(key, 30)).toBe(nodeId);
    await nodes.unregister(nodeId ?? 0n);
    await nodes.registerOnce(key);
    expect(await nodes.idOf(key), "what was unregistered stays so").toBeUndefined();
  });

  it("are activated when registered or offline, and not when online", async () => {
    await using world = await createWorld();
    const { nodes } = world.state;
    const nodeId = await nodes.register(key);
    expect(await nodes.activate(key, 30)).toBe(nodeId);
    await nodes.heartbeat(nodeId, 30);
    await expect(nodes.activate(key, 30)).rejects.toMatchObject({ code: Code.FailedPrecondition });
    world.clock.advance(60);
    expect(await nodes.activate(key, 30), "offline again").toBe(nodeId);
    await nodes.deactivate(nodeId);
    expect(await nodes.listOnline()).toEqual([]);
    await expect(nodes.deactivate(nodeId)).rejects.toMatchObject({ code: Code.FailedPrecondition });
    expect(await nodes.activate(key, 30)).toBe(nodeId);
    await expect(nodes.activate(otherKey, 30)).rejects.toMatchObject({
      code: Code.FailedPrecondition,
    });
  });

  it("are activated again until their first heartbeat: the answer may have been lost", async () => {
    await using world = await createWorld();
    const { nodes } = world.state;
    const nodeId = await nodes.register(key);
    const refused = { code: Code.FailedPrecondition };
    for (let start = 0; start < 2; start += 1) {
      expect(await nodes.activate(key, 30)).toBe(nodeId);
      world.clock.advance(59);
      expect(await nodes.activate(key, 30)).toBe(nodeId);
      world.clock.advance(59);
      expect(await nodes.listOnline(), "two intervals from the latest").toEqual([nodeId]);
      await nodes.heartbeat(nodeId, 30);
      await expect(nodes.activate(key, 30)).rejects.toMatchObject(refused);
      await nodes.deactivate(nodeId);
    }
    await nodes.activate(key, 30);
    await nodes.unregister(nodeId);
    await expect(nodes.activate(key, 30)).rejects.toMatchObject(refused);
  });

  it("get one id when they register many times at once", async () => {
    await using world = await createWorld();
    const { nodes } = world.state;
    const ids = await Promise.all(Array.from({ length: 8 }, () => nodes.register(key)));
    expect(new Set(ids)).toEqual(new Set([await nodes.idOf(key)]));
  });

  it("are gone after unregistering", async () => {
    await using world = await createWorld();
    const { nodes } = world.state;
    const nodeId = await nodes.register(key);
    await nodes.activate(key, 30);
    await nodes.unregister(nodeId);
    expect(await nodes.listOnline()).toEqual([]);
    expect(await nodes.heartbeat(nodeId, 30)).toBe(false);
    await expect(nodes.deactivate(nodeId)).rejects.toMatchObject({ code: Code.FailedPrecondition });
    await expect(nodes.unregister(nodeId)).rejects.toMatchObject({ code: Code.FailedPrecondition });
    expect(await nodes.heartbeat(99n, 30)).toBe(false);
  });

  it.each([9.99, 1800.1, Number.NaN, Number.POSITIVE_INFINITY, -30])(
    "refuse a heartbeat interval of %d s",
    async (seconds) => {
      await using world = await createWorld();
      const { nodes } = world.state;
      const nodeId = await nodes.register(key);
      const refusal = { code: Code.InvalidArgument, rawMessage: "Invalid heartbeat interval" };
      await expect(nodes.activate(key, seconds)).rejects.toMatchObject(refusal);
      await expect(nodes.heartbeat(nodeId, seconds)).rejects.toMatchObject(refusal);
    },
  );
});
