/** A flood of calls on tokens that are revoked, replaced and left to expire meanwhile. */

import { createGrpcTransport } from "@connectrpc/connect-node";
import { expect } from "vitest";
import { type AnySqlDatabase, createAuthority } from "../../src/authority/index.ts";
import { createAuthenticatedClient } from "../../src/client/authenticated-client.ts";
import { transportTo } from "../../src/client/located-transport.ts";
import { parseToken, type Token } from "../../src/policy/token.ts";
import { serve } from "../../src/serve/serve.ts";
import { sessionPolicy } from "../client/mailbox.ts";
import { mailboxService } from "../guard/mailbox-service.ts";

const runs = [1n, 2n, 3n, 4n];
const callersPerRun = 4;
/** The authority's default. */
const firstTtlMs = 30_000;

/**
 * Calls without a pause while tokens end and new ones take their place. A call
 * that begins after its token has ended must be refused, each single one.
 *
 * @param changed where tokens are issued and revoked.
 * @param verified where they are verified: the same, or another process's way to it.
 * @param ends how often tokens come to their end.
 * @returns whether every answer of the verifier was there at once, and not a promise.
 */
export async function floodWhileTokensEnd(
  changed: AnySqlDatabase,
  verified: AnySqlDatabase,
  ends: number,
) {
  const clock = { ms: 1_000_000 };
  const now = () => clock.ms;
  const changing = await createAuthority({ database: changed, now });
  const verifying = await createAuthority({ database: verified, now });
  const expireAll = () => {
    clock.ms += firstTtlMs + 1;
  };
  const { mailbox } = mailboxService();
  let isAtOnce = true;
  type Answer = Awaited<ReturnType<typeof verifying.verifier>>;
  const asMailbox = (answer: Answer) =>
    answer !== undefined && "runId" in answer ? { mailboxId: answer.runId } : answer;
  await using server = await serve({
    port: 0,
    services: [mailbox],
    verifiers: {
      // As the authority answers, at once or later: the guard goes another way for each.
      session: (presented, call) => {
        const answer = verifying.verifier(presented, call);
        if (answer instanceof Promise) {
          isAtOnce = false;
          return answer.then(asMailbox);
        }
        return asMailbox(answer);
      },
    },
  });
  const transport = transportTo(createGrpcTransport, { baseUrl: server.url });
  const clientFor = (token: Token) =>
    createAuthenticatedClient(sessionPolicy, transport, { session: token });

  const current = new Map<bigint, Token>();
  const ended = new Set<Token>();
  const issue = async (runId: bigint) => {
    const token = await changing.issue(runId);
    current.set(runId, parseToken(token ?? ""));
  };
  await Promise.all(runs.map(issue));

  let isOver = false;
  let allowed = 0;
  let refused = 0;
  const served: string[] = [];
  const call = async (token: Token) => {
    const hasEnded = ended.has(token);
    await clientFor(token)
      .countLetters({})
      .then(
        () => {
          allowed += 1;
          if (hasEnded) {
            served.push(`call ${allowed + refused}`);
          }
        },
        ({ rawMessage }: { rawMessage: string }) => {
          expect(rawMessage).toBe("Authentication failed.");
          refused += 1;
        },
      );
  };
  const callers = runs.flatMap((runId) =>
    Array.from({ length: callersPerRun }, async () => {
      // Each goes on with the token that it began with, and once more after its end.
      while (!isOver) {
        const token = current.get(runId) ?? parseToken("none");
        while (!ended.has(token) && !isOver) {
          await call(token);
        }
        await call(token);
      }
    }),
  );
  for (let i = 0; i < ends; i++) {
    const runId = runs[i % runs.length] ?? 0n;
    const allowedBefore = allowed;
    await expect.poll(() => allowed, { interval: 1 }).toBeGreaterThan(allowedBefore);
    const isExpiry = i % 3 === 2;
    if (isExpiry) {
      expireAll();
    } else {
      await changing.revoke(runId);
    }
    const over = isExpiry ? runs : [runId];
    for (const id of over) {
      ended.add(current.get(id) ?? parseToken("none"));
    }
    await Promise.all(over.map((id) => call(current.get(id) ?? parseToken("none"))));
    await Promise.all(over.map(issue));
  }
  isOver = true;
  await Promise.all(callers);
  expect(served, "calls served with a token that had ended").toEqual([]);
  expect(refused).toBeGreaterThanOrEqual(ends);
  expect(allowed).toBeGreaterThanOrEqual(ends);
  return { isAtOnce };
}
