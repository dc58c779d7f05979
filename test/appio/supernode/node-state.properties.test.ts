import fc from "fast-check";
import { expect, it } from "vitest";
import { type NodeCaller, NodeRefusal } from "../../../src/appio/supernode/node-caller.ts";
import { type instruction, replyTo, testNode } from "./test-node.ts";

type Asked = ReturnType<typeof instruction>;

const runIds = [1n, 2n];

/** What can happen on a node. Numbers choose among what there is at that moment. */
const step = fc.oneof(
  fc.record({ do: fc.constant("deliver" as const), run: fc.nat(1) }),
  fc.record({ do: fc.constant("claim" as const), run: fc.nat(1) }),
  fc.record({ do: fc.constant("take" as const), caller: fc.nat() }),
  fc.record({ do: fc.constant("reply" as const), caller: fc.nat(), objects: fc.nat(4) }),
  fc.record({ do: fc.constant("confirm" as const), caller: fc.nat() }),
  fc.record({ do: fc.constant("finish" as const), caller: fc.nat() }),
  fc.record({ do: fc.constant("beat" as const), caller: fc.nat() }),
  fc.record({ do: fc.constant("pass" as const), seconds: fc.integer({ min: 1, max: 40 }) }),
  fc.record({ do: fc.constant("forward" as const) }),
  fc.record({ do: fc.constant("forget" as const), run: fc.nat(1) }),
);

/** Thousands of transactions: seconds, and many of them on a machine that has other work. */
const timeoutMs = 120_000;

it("answers every instruction exactly once and keeps nothing of it, whatever ClientApps do and the node forgets", {
  timeout: timeoutMs,
}, async () => {
  await using untouched = await testNode();
  const empty = await untouched.counts();
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60, size: "max" }), async (steps) => {
      await using node = await testNode();
      const delivered: Asked[] = [];
      const objectIds = new Map<string, bigint>();
      const callers: NodeCaller[] = [];
      const taken = new Map<NodeCaller, string>();
      const forwarded: string[] = [];

      const note = (runId: bigint, ids: Iterable<string>) => {
        for (const id of ids) {
          objectIds.set(id, runId);
        }
      };
      const claim = async (runId: bigint) => {
        const isPending = (await node.apps.pendingRuns()).includes(runId);
        const token = await node.apps.claim(runId);
        expect(token !== undefined).toBe(isPending);
        if (token !== undefined) {
          const claims = await node.authority.verify(token);
          expect(claims).toMatchObject({ runId });
          if (claims !== undefined && "tokenDigest" in claims) {
            callers.push({ runId, tokenDigest: claims.tokenDigest });
          }
        }
      };
      const forward = async () => {
        for (const { instructionId, runId, tree } of await node.inbox.readyReplies()) {
          note(runId, [tree.objectId]);
          expect((await node.inbox.replyObject(runId, tree.objectId))?.content).toBeDefined();
          forwarded.push(instructionId);
          await node.inbox.forwarded(instructionId);
        }
      };
      const act = async (caller: NodeCaller, one: { do: string; objects?: number }) => {
        const asked = delivered.find(({ id }) => id === taken.get(caller));
        if (one.do === "take") {
          const received = await node.apps.takeMessage(caller);
          const messageId = received?.message.metadata?.messageId;
          if (messageId !== undefined) {
            expect(received?.message.metadata?.runId).toBe(caller.runId);
            expect(forwarded).not.toContain(messageId);
            taken.set(caller, messageId);
          }
        } else if (one.do === "finish") {
          await node.apps.finish(caller, node.emptyContext);
        } else if (one.do === "confirm" && asked !== undefined) {
          await node.apps.confirmMessage(caller, asked.id);
        } else if (one.do === "reply" && asked !== undefined) {
          const reply = replyTo(asked);
          note(caller.runId, reply.objects.keys());
          const toPush = await node.apps.storeReply(caller, reply);
          for (const id of toPush.slice(0, one.objects)) {
            await node.apps.putObject(caller, id, reply.objects.get(id) ?? new Uint8Array());
          }
        }
      };

      for (const one of steps) {
        if (one.do === "deliver") {
          const asked = await node.deliver(runIds[one.run] ?? 1n);
          delivered.push(asked);
          note(asked.asMessage.metadata.runId, asked.objects.keys());
        } else if (one.do === "claim") {
          await claim(runIds[one.run] ?? 1n);
        } else if (one.do === "pass") {
          node.pass(one.seconds * 1000);
        } else if (one.do === "forward") {
          await forward();
        } else if (one.do === "forget") {
          await node.runs.forget(runIds[one.run] ?? 1n);
        } else {
          const caller = callers[one.caller % callers.length];
          if (caller !== undefined && one.do === "beat") {
            await node.authority.extend(caller.tokenDigest);
          } else if (caller !== undefined) {
            await act(caller, one).catch((error: unknown) => {
              expect(error).toBeInstanceOf(NodeRefusal);
            });
          }
        }
      }

      // Every ClientApp dies from here on.
      for (let round = 0; round <= 4 * delivered.length; round += 1) {
        node.pass(61_000);
        await forward();
        for (const runId of await node.apps.pendingRuns()) {
          await claim(runId);
        }
      }
      expect(forwarded.toSorted()).toEqual(delivered.map(({ id }) => id).toSorted());
      for (const [objectId, runId] of objectIds) {
        expect(await node.inbox.replyObject(runId, objectId)).toBeUndefined();
      }
      for (const runId of runIds) {
        await node.runs.forget(runId);
      }
      expect(await node.counts()).toEqual(empty);
    }),
    { numRuns: 60 },
  );
});
